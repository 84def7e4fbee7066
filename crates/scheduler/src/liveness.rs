//! Time up to which this scheduler would have stored the heartbeat of any live worker.
//!
//! While the database is unavailable, no heartbeat, renewal or result can be stored. After it
//! returns, workers need a moment to report again; until then their silence counts for nothing. The
//! same holds after a scheduler starts, since it cannot know whether a scheduler was running
//! before.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use domain::Timestamp;

/// Observation history of the database's availability.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// Maximum time that a live worker needs until its next heartbeat is stored.
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Start of the current gap-free period; `None` during an outage.
    since: Option<Instant>,
    /// Last observation, by the monotonic clock.
    last: Option<Instant>,
    last_time: Timestamp,
    /// Database time of the last observation before the latest gap.
    before: Timestamp,
}

impl Liveness {
    pub(crate) fn new(patience: Duration) -> Self {
        let nothing = Timestamp::UNIX_EPOCH;
        let state = State { since: None, last: None, last_time: nothing, before: nothing };
        Self { patience, state: Mutex::new(state) }
    }

    /// Records that the database answered at the instant `at` with the time `now`. Returns the time
    /// up to which silence counts.
    pub(crate) fn observed_until(&self, at: Instant, now: Timestamp) -> Timestamp {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A process that was suspended for longer than `patience` missed heartbeats like one with a
        // database outage.
        let has_gap = state.last.is_none_or(|last| at.duration_since(last) > self.patience);
        if has_gap || state.since.is_none() {
            state.since = Some(at);
            state.before = state.last_time;
        }
        state.last = Some(at);
        let there_for = state.since.map_or(Duration::ZERO, |since| at.duration_since(since));
        if there_for < self.patience {
            return state.before;
        }
        state.last_time = now;
        now
    }

    /// Records that the database did not answer.
    pub(crate) fn interrupted(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).since = None;
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(15);

    struct Looks {
        liveness: Liveness,
        begun: Instant,
    }

    impl Looks {
        /// Returns the second up to which silence counts, as observed at `second`.
        fn at(&self, second: u64) -> i64 {
            let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(second).unwrap());
            self.liveness.observed_until(self.begun + Duration::from_secs(second), now).timestamp()
        }
    }

    fn looks() -> Looks {
        Looks { liveness: Liveness::new(TIMEOUT), begun: Instant::now() }
    }

    #[test]
    fn at_the_start_silence_proves_nothing_until_everybody_could_be_heard() {
        let looks = looks();
        assert_eq!([looks.at(100), looks.at(107), looks.at(114)], [0, 0, 0]);
        assert_eq!([looks.at(115), looks.at(116)], [115, 116]);
    }

    #[test]
    fn after_an_outage_it_counts_up_to_the_outage_until_everybody_could_be_heard() {
        let looks = looks();
        for second in 0..=20 {
            looks.at(second);
        }
        looks.liveness.interrupted();
        assert_eq!([looks.at(22), looks.at(36), looks.at(37)], [20, 20, 37]);
    }

    #[test]
    fn an_outage_after_an_outage_does_not_forget_the_first() {
        let looks = looks();
        for second in 0..=20 {
            looks.at(second);
        }
        looks.liveness.interrupted();
        looks.at(30);
        looks.liveness.interrupted();
        assert_eq!([looks.at(40), looks.at(54), looks.at(55)], [20, 20, 55]);
    }

    #[test]
    fn who_did_not_look_for_long_has_heard_nothing_meanwhile() {
        let looks = looks();
        for second in 0..=20 {
            looks.at(second);
        }
        assert_eq!(looks.at(36), 20);
        assert_eq!([looks.at(43), looks.at(50), looks.at(51)], [20, 20, 51]);
    }
}
