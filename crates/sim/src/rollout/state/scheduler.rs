//! The state of a scheduler, which its process loses.

use domain::Timestamp;

/// A scheduler: one place in which its process runs.
#[derive(Debug)]
pub(in crate::rollout) struct Scheduler {
    pub(in crate::rollout) alive: bool,
    /// What it had decided in an earlier life is forgotten.
    pub(in crate::rollout) life: u32,
    /// Time of its next look at each kind of work. Ticks at other times are stale.
    pub(in crate::rollout) next_cut: Timestamp,
    pub(in crate::rollout) next_reap: Timestamp,
    /// Looks in a row without anything to do.
    pub(in crate::rollout) idle: i64,
}

impl Scheduler {
    pub(in crate::rollout) const fn new(now: Timestamp) -> Self {
        Self { alive: true, life: 0, next_cut: now, next_reap: now, idle: 0 }
    }
}
