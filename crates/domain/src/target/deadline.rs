//! Deadlines. Every admitted target has two, and the scheduler enforces both, so that no target
//! waits forever.

use chrono::TimeDelta;

use crate::{Timestamp, outcome::Outcome};

/// Delivery deadline and result deadline of an admitted target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Time until which the target must be delivered; later it ends as UNDELIVERED. Agents start
    /// nothing after it.
    pub deliver_by: Timestamp,
    /// Time until which a result must arrive; later the target ends as UNKNOWN.
    pub finish_by: Timestamp,
}

impl Deadlines {
    /// Returns both deadlines shifted by a duration.
    #[must_use]
    pub fn later(self, by: TimeDelta) -> Self {
        Self { deliver_by: self.deliver_by + by, finish_by: self.finish_by + by }
    }
}

/// Timeouts of an accepted task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Maximum run time of one script.
    pub execution: TimeDelta,
    /// Maximum time that a target waits for its desktop.
    pub delivery: TimeDelta,
    /// Maximum time from the latest possible end of the last script to the arrival of its result.
    pub grace: TimeDelta,
}

/// Returns the deadlines of a target that is admitted at `now` and runs `scripts` scripts in
/// sequence.
pub fn of_target(now: Timestamp, timeouts: &Timeouts, scripts: u32) -> Deadlines {
    let deliver_by = now + timeouts.delivery;
    let running = timeouts.execution * i32::try_from(scripts).unwrap_or(i32::MAX);
    Deadlines { deliver_by, finish_by: deliver_by + running + timeouts.grace }
}

/// Returns the deadlines of a target that is dispatched within a window that closes at `closes_at`:
/// nothing starts later.
pub fn within(deadlines: Deadlines, closes_at: Timestamp) -> Deadlines {
    let sooner = (deadlines.deliver_by - closes_at).max(TimeDelta::zero());
    deadlines.later(-sooner)
}

/// Maximum time that a target waits for a connected desktop that is busy. A busy desktop does not
/// use up the delivery timeout.
pub const BUSY_WAIT: TimeDelta = TimeDelta::hours(24);

/// Minimum time to deliver a target whose desktop connected in time, however long the target then
/// waited for a slot.
pub const HAND_OUT: TimeDelta = TimeDelta::minutes(1);

/// Returns the deadlines of a target that is dispatched after it waited for its desktop.
pub fn after_waiting(deadlines: Deadlines, now: Timestamp, timeouts: &Timeouts) -> Deadlines {
    deadlines.later(time_missing(&deadlines, now, timeouts.delivery))
}

/// Returns the time that a target lacks for its delivery at `now`; zero if it has enough.
pub fn time_missing(deadlines: &Deadlines, now: Timestamp, delivery: TimeDelta) -> TimeDelta {
    let least = now + HAND_OUT.min(delivery);
    (least - deadlines.deliver_by).max(TimeDelta::zero())
}

/// Returns the outcome of a target without a result at `now`, if a deadline has passed. UNDELIVERED
/// requires that the target was certainly never delivered.
pub fn expired(now: Timestamp, deadlines: &Deadlines, maybe_delivered: bool) -> Option<Outcome> {
    if maybe_delivered {
        (now >= deadlines.finish_by).then_some(Outcome::Unknown)
    } else {
        (now >= deadlines.deliver_by).then_some(Outcome::Undelivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_target_is_undelivered_or_after_delivery_unknown() {
        let now = Timestamp::UNIX_EPOCH;
        let timeouts = Timeouts {
            execution: TimeDelta::minutes(5),
            delivery: TimeDelta::minutes(10),
            grace: TimeDelta::seconds(30),
        };
        let deadlines = of_target(now, &timeouts, 2);
        assert_eq!(deadlines.deliver_by, now + TimeDelta::minutes(10));
        assert_eq!(deadlines.finish_by, now + TimeDelta::minutes(20) + TimeDelta::seconds(30));

        let just_before = TimeDelta::milliseconds(1);
        assert_eq!(expired(deadlines.deliver_by - just_before, &deadlines, false), None);
        assert_eq!(expired(deadlines.deliver_by, &deadlines, false), Some(Outcome::Undelivered));
        assert_eq!(expired(deadlines.deliver_by, &deadlines, true), None);
        assert_eq!(expired(deadlines.finish_by - just_before, &deadlines, true), None);
        assert_eq!(expired(deadlines.finish_by, &deadlines, true), Some(Outcome::Unknown));
    }

    #[test]
    fn desktop_back_in_time_is_not_late_after_a_queue() {
        let now = Timestamp::UNIX_EPOCH;
        let (minutes, seconds) = (TimeDelta::minutes, TimeDelta::seconds);
        let mut timeouts = Timeouts { execution: minutes(5), delivery: minutes(10), grace: seconds(30) };
        let deadlines = of_target(now, &timeouts, 1);
        assert_eq!(after_waiting(deadlines, now + minutes(9), &timeouts), deadlines);
        let later = after_waiting(deadlines, now + minutes(20), &timeouts);
        assert_eq!(later.deliver_by, now + minutes(21));
        assert_eq!(later.finish_by - later.deliver_by, deadlines.finish_by - deadlines.deliver_by);
        timeouts.delivery = seconds(5);
        assert_eq!(after_waiting(deadlines, now + minutes(20), &timeouts).deliver_by, now + seconds(1_205));
    }

    #[test]
    fn a_window_that_closes_shortens_them() {
        let now = Timestamp::UNIX_EPOCH;
        let minutes = TimeDelta::minutes;
        let deadlines = Deadlines { deliver_by: now + minutes(10), finish_by: now + minutes(15) };
        let short = Deadlines { deliver_by: now + minutes(4), finish_by: now + minutes(9) };
        assert_eq!(within(deadlines, now + minutes(4)), short);
        assert_eq!(within(deadlines, now + minutes(40)), deadlines);
    }
}
