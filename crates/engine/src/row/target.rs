//! Targets, as the plan wrote them, and where they are now.

use domain::ids::{BatchId, DesktopId, WorkerId};

use super::Presence;

/// A target's row, with its end, its stop, its desktop's presence and its lease from other tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Desktop of the target.
    pub desktop_id: DesktopId,
    /// Scripts before this place succeeded in an earlier task.
    pub first_script: u16,
    /// Whether its records are stored.
    pub has_ended: bool,
    /// Script from which on a person stopped the target.
    pub stop: Option<u16>,
    /// Connection of its desktop. `None` when no such desktop is known, or when presence was not asked for.
    pub presence: Option<Presence>,
    /// Lease of the batch that it is in, where it was asked for.
    pub lease: Option<TargetLease>,
}

/// The lease of a target that is in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetLease {
    /// Batch of the target.
    pub batch_id: BatchId,
    /// Worker that holds the batch.
    pub worker_id: WorkerId,
    /// Agent that the target is for.
    pub agent_id: String,
}

/// Where an admitted target without a result is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Its batch; `None` for a deferred target.
    pub batch_id: Option<BatchId>,
    /// Whether an agent may have been given it.
    pub maybe_delivered: bool,
    /// Agent that it is for, or that may have started it.
    pub agent_id: String,
}
