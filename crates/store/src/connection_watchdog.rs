//! Detection of dead database connections.
//!
//! When the database's machine dies or a network drops packets, a client receives no error. A
//! statement would wait until TCP retransmission gives up, after about 15 minutes, and a listener
//! forever. One connection therefore queries continuously. When it gets no answer, every connection
//! that was open at that time is discarded, and waiting work fails. The query reads the database's
//! clock, which is the authoritative one.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use time_sync::{Clock, TimeSample};
use tokio::sync::watch;

/// Interval between two queries, and before the next attempt to connect.
const ASKS_EVERY: Duration = Duration::from_secs(2);
/// Timeout of the query. The cheapest query takes this long only if the database is unreachable or
/// stuck.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    is_asked: bool,
    found_at: Option<Instant>,
    /// When the connection of the query broke last, as at a restart of the database.
    broken_at: Option<Instant>,
    /// When the address or the credentials of the database changed last.
    replaced_at: Option<Instant>,
}

/// Settings with which connections are opened; another value after each change of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(Option<Instant>);

/// Shared state of the watchdog.
#[derive(Debug, Clone, Default)]
pub(crate) struct Silence(watch::Sender<State>);

impl Silence {
    /// Queries until the future is dropped. A failed connection attempt needs no signal: callers
    /// see the same error.
    pub(crate) async fn watch(
        &self,
        options: impl Fn() -> Arc<PgConnectOptions>,
        clock: &Clock,
    ) -> Infallible {
        loop {
            let (generation, options) = (self.generation(), options());
            let connected = tokio::time::timeout(ANSWERS_WITHIN, PgConnection::connect_with(&options)).await;
            if let Ok(Ok(mut connection)) = connected {
                while self.generation() == generation && self.ask(&mut connection, clock).await {
                    tokio::time::sleep(ASKS_EVERY).await;
                }
            }
            tokio::time::sleep(ASKS_EVERY).await;
        }
    }

    /// Queries once. Returns whether the connection is still usable.
    async fn ask(&self, connection: &mut PgConnection, clock: &Clock) -> bool {
        self.0.send_modify(|state| state.is_asked = true);
        let answer = tokio::time::timeout(ANSWERS_WITHIN, ask_time(connection, clock)).await;
        self.0.send_modify(|state| {
            state.is_asked = false;
            if let Ok(Err(_)) = answer {
                state.broken_at = Some(Instant::now());
            }
            if answer.is_err() {
                tracing::warn!(after = ?ANSWERS_WITHIN, "the database does not answer: discarding connections");
                state.found_at = Some(Instant::now());
            }
        });
        matches!(answer, Ok(Ok(())))
    }

    /// Waits until the next detected outage.
    pub(crate) async fn found(&self) {
        let mut states = self.0.subscribe();
        let known = states.borrow_and_update().found_at;
        if states.wait_for(|state| state.found_at != known).await.is_err() {
            // The sender is dropped, so no outage can be detected any more.
            std::future::pending::<()>().await;
        }
    }

    /// Returns the settings with which connections are opened now.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.0.borrow().replaced_at)
    }

    /// Replaces all connections: each is closed when its work ends.
    pub(crate) fn replace_connections(&self) {
        self.0.send_modify(|state| state.replaced_at = Some(Instant::now()));
    }

    /// Waits until the connections of a generation are replaced.
    pub(crate) async fn replaced(&self, generation: Generation) {
        let mut states = self.0.subscribe();
        if states.wait_for(|state| Generation(state.replaced_at) != generation).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether a connection of this age was opened with former settings.
    pub(crate) fn is_replaced(&self, age: Duration) -> bool {
        self.0.borrow().replaced_at.is_some_and(|replaced_at| age > replaced_at.elapsed())
    }

    /// Waits for the answer of the query in flight, if any.
    pub(crate) async fn settled(&self) {
        let mut states = self.0.subscribe();
        // The timeout covers a query that was dropped in flight.
        drop(tokio::time::timeout(ANSWERS_WITHIN, states.wait_for(|state| !state.is_asked)).await);
    }

    /// Whether a connection of this age may have broken with the one of the query: ask it before
    /// its use.
    pub(crate) fn is_doubtful(&self, age: Duration) -> bool {
        self.0.borrow().broken_at.is_some_and(|broken_at| age > broken_at.elapsed())
    }

    /// Returns an error for a connection of this age that was open during an outage.
    pub(crate) fn refuse(&self, age: Duration) -> Result<(), sqlx::Error> {
        match self.0.borrow().found_at {
            Some(found_at) if age > found_at.elapsed() => Err(error()),
            _ => Ok(()),
        }
    }
}

/// Reads the database's clock.
pub(crate) async fn ask_time(connection: &mut PgConnection, clock: &Clock) -> Result<(), sqlx::Error> {
    let asked = clock.asks();
    let now = sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await?;
    clock.answered(asked, TimeSample { now, error: Duration::ZERO });
    Ok(())
}

/// Creates the error for work that waited during an outage.
pub(crate) fn error() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database stopped answering"))
}
