//! Connections on which nobody answers any more.
//!
//! When the machine of the database dies, or a link swallows what is sent, nobody says so: a statement would wait for its
//! answer until the kernel gives up repeating it, a quarter of an hour, and a listener for ever. So one connection asks all
//! the time, and when it gets no answer, no connection that was open then is used again and no work goes on waiting. What
//! it asks is what time it is: the database's clock is the one that counts.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use time_sync::{Clock, TimeSample};
use tokio::sync::watch;

/// Pause between two questions, and before the next try to connect.
const ASKS_EVERY: Duration = Duration::from_secs(2);
/// The least question there is takes longer only when nobody is there, or nothing works any more.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    is_asked: bool,
    found_at: Option<Instant>,
}

/// What is known of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Silence(watch::Sender<State>);

impl Silence {
    /// Asks until it is dropped. Whoever cannot connect learns that without help.
    pub(crate) async fn watch(&self, options: &PgConnectOptions, clock: &Clock) -> Infallible {
        loop {
            let connected = tokio::time::timeout(ANSWERS_WITHIN, PgConnection::connect_with(options)).await;
            if let Ok(Ok(mut connection)) = connected {
                while self.ask(&mut connection, clock).await {
                    tokio::time::sleep(ASKS_EVERY).await;
                }
            }
            tokio::time::sleep(ASKS_EVERY).await;
        }
    }

    /// Whether the connection is good for another question.
    async fn ask(&self, connection: &mut PgConnection, clock: &Clock) -> bool {
        self.0.send_modify(|state| state.is_asked = true);
        let answer = tokio::time::timeout(ANSWERS_WITHIN, ask_time(connection, clock)).await;
        self.0.send_modify(|state| {
            state.is_asked = false;
            if answer.is_err() {
                tracing::warn!(after = ?ANSWERS_WITHIN, "the database does not answer: its connections are given up");
                state.found_at = Some(Instant::now());
            }
        });
        matches!(answer, Ok(Ok(())))
    }

    /// Waits until it is found the next time.
    pub(crate) async fn found(&self) {
        let mut states = self.0.subscribe();
        let known = states.borrow_and_update().found_at;
        if states.wait_for(|state| state.found_at != known).await.is_err() {
            // There is no sender, so nobody who could find it.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for the answer to what is asked now, if anything is.
    pub(crate) async fn settled(&self) {
        let mut states = self.0.subscribe();
        // Nobody answers any more when whoever asked was dropped meanwhile.
        drop(tokio::time::timeout(ANSWERS_WITHIN, states.wait_for(|state| !state.is_asked)).await);
    }

    /// An error when a connection of this age was open when nobody answered.
    pub(crate) fn refuse(&self, age: Duration) -> Result<(), sqlx::Error> {
        match self.0.borrow().found_at {
            Some(found_at) if age > found_at.elapsed() => Err(error()),
            _ => Ok(()),
        }
    }
}

/// Asks what time it is.
pub(crate) async fn ask_time(connection: &mut PgConnection, clock: &Clock) -> Result<(), sqlx::Error> {
    let asked = clock.asks();
    let told = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await?;
    clock.answered(asked, TimeSample { now: told, error: Duration::ZERO });
    Ok(())
}

/// What whoever waited is told.
pub(crate) fn error() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database does not answer any more",
    ))
}
