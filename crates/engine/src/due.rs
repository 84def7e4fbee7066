//! Work that time or presence makes due. Every tick of a scheduler queries it.

use domain::{
    Timestamp,
    ids::{BatchId, TaskId},
};

/// A kind of due work. A tick processes the kinds in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DutyKind {
    /// Tasks past their `expires_at`.
    Expire,
    /// Tasks of a frozen project that are not fully suspended, because the freeze was interrupted.
    SuspendFrozen,
    /// Tasks of an unfrozen project that are still suspended, because the unfreeze was interrupted.
    ReleaseUnfrozen,
    /// Batches without a live holder.
    Reclaim,
    /// Ready batches with a desktop that cannot connect any more.
    OutOfService,
    /// Deferred targets whose desktop is online.
    HandOut,
    /// Deferred targets that only wait for a slot and whose deadline is near.
    PutOff,
    /// Batches past a deadline.
    OverdueBatch,
    /// Deferred targets past a deadline.
    OverdueDeferred,
    /// Awaited returns of desktops that are back, or that missed their deadline.
    AwaitedReturn,
}

impl DutyKind {
    /// Every kind, in the order of processing.
    pub const ALL: [Self; 10] = [
        Self::Expire,
        Self::SuspendFrozen,
        Self::ReleaseUnfrozen,
        Self::Reclaim,
        Self::OutOfService,
        Self::HandOut,
        Self::PutOff,
        Self::OverdueBatch,
        Self::OverdueDeferred,
        Self::AwaitedReturn,
    ];
}

/// A piece of due work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duty {
    /// Kind of the work.
    pub kind: DutyKind,
    /// Task that the duty concerns.
    pub task_id: TaskId,
    /// Batch of the duty; `None` for a duty of deferred targets or of the whole task.
    pub batch_id: Option<BatchId>,
    /// Ordinals of the affected targets; empty for a duty of the whole task.
    pub ordinals: Vec<u32>,
}

/// Times by which work is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueTimes {
    /// Current time.
    pub now: Timestamp,
    /// Time up to which leases and results count as missing. After a database outage it lags behind
    /// `now` for a while, because no renewal or result could be stored.
    pub observed_until: Timestamp,
}

impl DueTimes {
    /// Returns the times while the database answers: leases and results count as missing up to
    /// `now`.
    pub const fn at(now: Timestamp) -> Self {
        Self { now, observed_until: now }
    }
}
