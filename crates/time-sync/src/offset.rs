//! Evaluation of time answers: the pure part.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{TimeSample, uptime::Uptime};

/// Maximum drift between two machines, in parts per million: after a minute, an answer is 30 ms
/// less exact.
const DRIFT_PER_MILLION: u32 = 500;

/// Moment for which uptime and control plane time are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    uptime: Uptime,
    time: DateTime<Utc>,
    /// Maximum error in either direction.
    error: Duration,
}

impl Anchor {
    /// Creates an anchor from an answer. The source read its clock at an unknown moment between
    /// request and answer, so the middle is wrong by at most half of the round trip.
    pub(crate) fn new(asked: Uptime, answered: Uptime, sample: TimeSample) -> Self {
        let half = answered.since(asked) / 2;
        Self { uptime: answered, time: sample.now + delta(half), error: sample.error.saturating_add(half) }
    }

    /// Time at an uptime.
    pub(crate) fn at(self, uptime: Uptime) -> DateTime<Utc> {
        self.time + delta(uptime.since(self.uptime))
    }

    /// Time with its error at an uptime.
    pub(crate) fn sample(self, uptime: Uptime) -> TimeSample {
        TimeSample { now: self.at(uptime), error: self.error_at(uptime) }
    }

    fn error_at(self, uptime: Uptime) -> Duration {
        self.error + uptime.since(self.uptime) * DRIFT_PER_MILLION / 1_000_000
    }

    /// Whether this anchor replaces an older one: it is more exact by now, or contradicts it, so
    /// the authoritative clock was adjusted.
    pub(crate) fn replaces(self, older: Self) -> bool {
        let error = older.error_at(self.uptime);
        let apart = (self.time - older.at(self.uptime)).abs();
        self.error <= error || apart > delta(self.error + error)
    }
}

/// Converts to chrono's type; uptimes are far below its limit.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn up(ms: u64) -> Uptime {
        Uptime(Duration::from_millis(ms))
    }

    fn exactly(now: DateTime<Utc>) -> TimeSample {
        TimeSample { now, error: Duration::ZERO }
    }

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap()
    }

    #[test]
    fn the_time_is_that_of_the_middle_and_goes_on() {
        let anchor = Anchor::new(up(1_000), up(1_100), exactly(at(0)));
        assert_eq!(anchor.at(up(1_100)), at(50));
        assert_eq!(anchor.at(up(61_100)), at(60_050));
        assert_eq!(anchor.error_at(up(61_100)), Duration::from_millis(50 + 30));
    }

    #[test]
    fn offset_is_no_more_exact_than_its_sample() {
        let sample = TimeSample { now: at(0), error: Duration::from_millis(300) };
        let anchor = Anchor::new(up(0), up(100), sample);
        assert_eq!(anchor.sample(up(100)), TimeSample { now: at(50), error: Duration::from_millis(350) });
    }

    #[test]
    fn slow_sample_replaces_only_a_drifted_offset() {
        let slow = Anchor::new(up(0), up(4_000), exactly(at(0)));
        let quick = Anchor::new(up(5_000), up(5_002), exactly(at(4_000)));
        assert!(quick.replaces(slow));
        assert!(!Anchor::new(up(6_000), up(10_000), exactly(at(5_000))).replaces(quick));
        // After 4,000 seconds the drift is two seconds in either direction.
        let day = 86_400_000;
        let late = Anchor::new(up(day), up(day + 4_000), exactly(at(i64::try_from(day).unwrap())));
        assert!(late.replaces(quick));
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let quick = Anchor::new(up(0), up(2), exactly(at(0)));
        let set = Anchor::new(up(1_000), up(1_200), exactly(at(3_600_000)));
        assert!(set.replaces(quick));
        let set_back = Anchor::new(up(1_000), up(1_200), exactly(at(-3_600_000)));
        assert!(set_back.replaces(quick));
    }

    proptest! {
        /// The actual error never exceeds the reported one, for all round-trip times.
        #[test]
        fn the_error_holds(trips in proptest::collection::vec((0u64..2_000, 0u64..2_000, 0u64..60_000), 1..20)) {
            let (mut uptime, mut known) = (0u64, None::<Anchor>);
            for (there, back, pause) in trips {
                // On this machine the true time equals the uptime.
                let time = at(i64::try_from(uptime + there).unwrap());
                let new = Anchor::new(up(uptime), up(uptime + there + back), exactly(time));
                if known.is_none_or(|older| new.replaces(older)) {
                    known = Some(new);
                }
                uptime += there + back + pause;
                let anchor = known.unwrap();
                let wrong = (anchor.at(up(uptime)) - at(i64::try_from(uptime).unwrap())).abs();
                prop_assert!(wrong <= delta(anchor.error_at(up(uptime))), "{wrong:?}");
            }
        }
    }
}
