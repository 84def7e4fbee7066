//! The state of an outage of the database.

use domain::Timestamp;

/// An outage that has begun.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) struct RunningOutage {
    /// Until then transactions may commit, and their answers are lost.
    pub(in crate::rollout) unknown_until: Timestamp,
    pub(in crate::rollout) ends_at: Timestamp,
}
