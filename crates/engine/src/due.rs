//! Work that time or presence makes due. Schedulers look for it on every tick.

use domain::ids::{BatchId, TaskId};

/// A kind of due work, in the order in which a tick looks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DutyKind {
    /// Tasks whose time is over.
    Expire,
    /// Tasks of a frozen project with something that is not held, because the freeze was interrupted.
    SuspendFrozen,
    /// Batches without a holder.
    Reclaim,
    /// Deferred targets whose desktop is online.
    HandOut,
    /// Deferred targets that only wait for a place and whose deadline is near.
    PutOff,
    /// Batches past a deadline.
    OverdueBatch,
    /// Deferred targets past a deadline.
    OverdueDeferred,
}

impl DutyKind {
    /// Every kind, in order.
    pub const ALL: [Self; 7] = [
        Self::Expire,
        Self::SuspendFrozen,
        Self::Reclaim,
        Self::HandOut,
        Self::PutOff,
        Self::OverdueBatch,
        Self::OverdueDeferred,
    ];
}

/// A piece of due work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duty {
    /// What to do.
    pub kind: DutyKind,
    /// Task that it concerns.
    pub task_id: TaskId,
    /// Batch that it concerns, for [`DutyKind::Reclaim`] and [`DutyKind::OverdueBatch`].
    pub batch_id: Option<BatchId>,
    /// Targets that it concerns; empty for a whole task.
    pub ordinals: Vec<u32>,
}
