//! The state of a scheduler. Its process loses everything but its clock.

use std::time::Duration;

use chrono::TimeDelta;
use domain::Timestamp;
use engine::Liveness;

/// A scheduler: one place in which its process runs.
#[derive(Debug)]
pub(in crate::rollout) struct Scheduler {
    pub(in crate::rollout) alive: bool,
    /// Number of restarts. Decisions of an earlier life are stale.
    pub(in crate::rollout) life: u32,
    /// Difference between its clock and the true time.
    pub(in crate::rollout) offset_ms: i64,
    /// True time of its next tick of each kind. Ticks at other times are stale.
    pub(in crate::rollout) next_cut: Timestamp,
    pub(in crate::rollout) next_reap: Timestamp,
    /// Number of ticks in a row without due work.
    pub(in crate::rollout) idle: i64,
    pub(in crate::rollout) liveness: Liveness,
}

impl Scheduler {
    /// A scheduler that gives workers `patience` to be heard.
    pub(in crate::rollout) fn new(now: Timestamp, patience_ms: i64) -> Self {
        let liveness = Self::liveness(patience_ms);
        Self { alive: true, life: 0, offset_ms: 0, next_cut: now, next_reap: now, idle: 0, liveness }
    }

    /// The state of a process that has just started.
    pub(in crate::rollout) fn liveness(patience_ms: i64) -> Liveness {
        Liveness::new(Duration::from_millis(patience_ms.unsigned_abs()))
    }

    /// The scheduler's time at a true time.
    pub(in crate::rollout) fn time(&self, now: Timestamp) -> Timestamp {
        now + TimeDelta::milliseconds(self.offset_ms)
    }
}
