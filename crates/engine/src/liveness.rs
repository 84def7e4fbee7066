//! The time up to which silence counts against a worker.
//!
//! While the database is down no heartbeat, renewal or result can be stored. After an outage,
//! workers need some time until all of their messages arrive; meanwhile a scheduler concludes
//! nothing from silence during the outage. The same holds for a scheduler that has just started,
//! because it does not know whether any scheduler could receive their messages before.

use std::time::Duration;

use domain::Timestamp;

/// The times at which one scheduler could receive messages of workers.
#[derive(Debug)]
pub struct Liveness {
    /// Time in which every live worker sends a heartbeat.
    timeout: Duration,
    /// Uptime since which there was no gap; `None` after an outage.
    since: Option<Duration>,
    /// Uptime of the last look.
    last: Option<Duration>,
    /// Time of the last look at which silence counted.
    last_time: Timestamp,
    /// Time at which the last gap began.
    before: Timestamp,
}

impl Liveness {
    /// Returns the state of a scheduler that has just started.
    pub const fn new(timeout: Duration) -> Self {
        let nothing = Timestamp::UNIX_EPOCH;
        Self { timeout, since: None, last: None, last_time: nothing, before: nothing }
    }

    /// Notes that the scheduler looks for due work at an uptime of its process, and at `now`.
    /// Returns the time up to which silence counts: `now`, or an earlier time for a while after a
    /// gap.
    pub fn observed_until(&mut self, uptime: Duration, now: Timestamp) -> Timestamp {
        // A process that was suspended for longer than `timeout` has missed as much as one whose
        // database was down.
        let has_gap = self.last.is_none_or(|last| uptime.saturating_sub(last) > self.timeout);
        if has_gap || self.since.is_none() {
            self.since = Some(uptime);
            self.before = self.last_time;
        }
        self.last = Some(uptime);
        let observed_for = self.since.map_or(Duration::ZERO, |since| uptime.saturating_sub(since));
        if observed_for < self.timeout {
            return self.before;
        }
        self.last_time = now;
        now
    }

    /// Notes that the database did not answer.
    pub const fn interrupted(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(15);

    /// Seconds up to which silence counts, at looks in these seconds.
    fn observed(liveness: &mut Liveness, seconds: impl IntoIterator<Item = u64>) -> Vec<i64> {
        let observed_at = |second| {
            let now = Timestamp::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(second).unwrap());
            liveness.observed_until(Duration::from_secs(second), now).timestamp()
        };
        seconds.into_iter().map(observed_at).collect()
    }

    #[test]
    fn silence_before_the_start_never_counts() {
        let mut liveness = Liveness::new(TIMEOUT);
        assert_eq!(observed(&mut liveness, [100, 107, 114, 115, 116]), [0, 0, 0, 115, 116]);
    }

    #[test]
    fn after_an_outage_silence_counts_up_to_its_beginning() {
        let mut liveness = Liveness::new(TIMEOUT);
        observed(&mut liveness, 0..=20);
        liveness.interrupted();
        assert_eq!(observed(&mut liveness, [22, 36, 37]), [20, 20, 37]);
    }

    #[test]
    fn second_outage_does_not_end_the_first() {
        let mut liveness = Liveness::new(TIMEOUT);
        observed(&mut liveness, 0..=20);
        liveness.interrupted();
        observed(&mut liveness, [30]);
        liveness.interrupted();
        assert_eq!(observed(&mut liveness, [40, 54, 55]), [20, 20, 55]);
    }

    #[test]
    fn long_pause_of_the_process_counts_as_an_outage() {
        let mut liveness = Liveness::new(TIMEOUT);
        observed(&mut liveness, 0..=20);
        assert_eq!(observed(&mut liveness, [36, 43, 50, 51]), [20, 20, 20, 51]);
    }
}
