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

/// Outcome of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    /// The connection broke.
    Broken,
    /// No answer arrived in time.
    Silent,
    /// The connection was replaced meanwhile.
    Replaced,
}

impl State {
    /// Records the end of a query on a connection of a generation. A former database says nothing
    /// about the connections to the present one.
    fn note(&mut self, outcome: Outcome, asked: Generation, now: Instant) {
        self.is_asked = false;
        if Generation(self.replaced_at) != asked {
            return;
        }
        match outcome {
            Outcome::Answered | Outcome::Replaced => {}
            Outcome::Broken => self.broken_at = Some(now),
            Outcome::Silent => {
                tracing::warn!(after = ?ANSWERS_WITHIN, "the database does not answer: discarding connections");
                self.found_at = Some(now);
            }
        }
    }
}

/// Whether a connection may have been opened with former settings, given its age and the time since
/// the settings were replaced. The pool reads the settings before it connects, and the age counts
/// from the end of that, which takes up to `connect_within`.
fn is_former(age: Duration, since_replaced: Duration, connect_within: Duration) -> bool {
    age.saturating_add(connect_within) > since_replaced
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
                while self.generation() == generation && self.ask(&mut connection, clock, generation).await {
                    tokio::time::sleep(ASKS_EVERY).await;
                }
            }
            tokio::time::sleep(ASKS_EVERY).await;
        }
    }

    /// Queries once. Returns whether the connection is still usable.
    async fn ask(&self, connection: &mut PgConnection, clock: &Clock, generation: Generation) -> bool {
        self.0.send_modify(|state| state.is_asked = true);
        let outcome = tokio::select! {
            answer = tokio::time::timeout(ANSWERS_WITHIN, ask_time(connection, clock)) => match answer {
                Ok(Ok(())) => Outcome::Answered,
                Ok(Err(_)) => Outcome::Broken,
                Err(_) => Outcome::Silent,
            },
            () = self.replaced(generation) => Outcome::Replaced,
        };
        self.0.send_modify(|state| state.note(outcome, generation, Instant::now()));
        outcome == Outcome::Answered
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

    /// Whether a connection of this age, which took at most `connect_within` to open, may have been
    /// opened with former settings.
    pub(crate) fn is_replaced(&self, age: Duration, connect_within: Duration) -> bool {
        let replaced_at = self.0.borrow().replaced_at;
        replaced_at.is_some_and(|replaced_at| is_former(age, replaced_at.elapsed(), connect_within))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_in_flight_at_the_change_is_replaced() {
        const CONNECT_WITHIN: Duration = Duration::from_secs(5);
        let seconds = Duration::from_secs;
        for (age, since_replaced, expected) in [
            (10, 3, true),
            // Opened 2 s after the change: perhaps begun before it.
            (1, 3, true),
            (0, 4, true),
            (0, 5, false),
            (94, 100, false),
        ] {
            let found = is_former(seconds(age), seconds(since_replaced), CONNECT_WITHIN);
            assert_eq!(found, expected, "age {age} s, {since_replaced} s after the change");
        }
    }

    #[test]
    fn silence_of_the_former_database_fails_no_work() {
        let now = Instant::now();
        let former = Generation(None);
        for outcome in [Outcome::Silent, Outcome::Broken, Outcome::Replaced] {
            let mut state = State { is_asked: true, replaced_at: Some(now), ..State::default() };
            state.note(outcome, former, now);
            assert!(!state.is_asked, "{outcome:?}");
            assert_eq!((state.found_at, state.broken_at), (None, None), "{outcome:?}");
            state.note(outcome, Generation(Some(now)), now);
            let expected = [Outcome::Silent, Outcome::Broken].map(|bad| (outcome == bad).then_some(now));
            assert_eq!([state.found_at, state.broken_at], expected, "{outcome:?}");
        }
    }
}
