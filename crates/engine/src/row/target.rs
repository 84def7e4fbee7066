//! Targets as the plan defines them, and their current whereabouts.

use domain::ids::{BatchId, DesktopId, WorkerId};

use super::{OutOfService, Presence};

/// A target's row, joined with its result, stop, presence and lease from other tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Desktop of the target.
    pub desktop_id: DesktopId,
    /// First script to run. Scripts before this place succeeded in an earlier task.
    pub first_script: u16,
    /// Whether its records are stored.
    pub has_ended: bool,
    /// Number of script results that are stored while the return of its desktop is awaited; `None`
    /// if no return is awaited.
    pub awaited: Option<u16>,
    /// Whether its remaining scripts were dispatched after a reboot, and the results before it are
    /// stored.
    pub is_resumed: bool,
    /// Script from which on a person stopped the target; `None` if it is not stopped.
    pub stop: Option<u16>,
    /// Connection of its desktop. `None` when the desktop is unknown or presence was not requested.
    pub presence: Option<Presence>,
    /// Lease of the batch that contains the target; `None` without a lease or when leases were not
    /// requested.
    pub lease: Option<TargetLease>,
}

impl TargetRow {
    /// Returns whether no result of the target is stored.
    pub(crate) const fn is_missing(&self) -> bool {
        !self.has_ended && self.awaited.is_none()
    }

    /// Returns why the desktop cannot connect any more; `None` if it can.
    pub(crate) fn out_of_service(&self) -> Option<OutOfService> {
        self.presence.as_ref()?.out_of_service
    }
}

/// The lease of a target that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetLease {
    /// Batch of the target.
    pub batch_id: BatchId,
    /// Worker that holds the batch.
    pub worker_id: WorkerId,
    /// Agent that the target is addressed to.
    pub agent_id: String,
}

/// Whereabouts of an admitted target without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Batch of the target; `None` for a deferred target.
    pub batch_id: Option<BatchId>,
    /// Whether an agent may have received the target.
    pub maybe_delivered: bool,
    /// Agent that the target is addressed to, or that may have started it.
    pub agent_id: String,
}
