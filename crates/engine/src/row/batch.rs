//! Batches: targets of one wave for one worker.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    batching::Member,
    deadline::Deadlines,
    ids::{BatchId, ProjectId, TaskId, WorkerId},
};

use crate::DueTimes;

/// Terms that all batches of one batching share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchTerms {
    /// Task of the batch.
    pub task_id: TaskId,
    /// Wave of its targets, from 1.
    pub wave: u16,
    /// Deadlines of its targets.
    pub deadlines: Deadlines,
    /// Time until which the targets wait for desktops that are connected and busy.
    pub wait_until: Timestamp,
    /// Whether an earlier lease may have delivered the targets to their agents.
    pub maybe_delivered: bool,
    /// Number of workers that died while they held the targets.
    pub worker_deaths: u16,
}

/// A ready batch to insert. The store assigns the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    /// Worker that holds the connections of the desktops.
    pub worker_id: WorkerId,
    /// Terms of the batch.
    pub terms: BatchTerms,
    /// Members, by ordinal.
    pub members: Vec<Member>,
    /// Whether agents only answer from their journal and start nothing, because the task admits no
    /// more targets.
    pub query_only: bool,
    /// Whether no worker may lease the batch, because the task is paused or frozen.
    pub suspended: bool,
    /// Whether a target in the batch is stopped.
    pub stop: bool,
}

/// A stored batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Terms of the batch.
    pub terms: BatchTerms,
    /// Worker that holds the batch, or that is to pull it.
    pub worker_id: WorkerId,
    /// Number of leases so far.
    pub epoch: u32,
    /// End of the lease; `None` while the batch is ready.
    pub lease_until: Option<Timestamp>,
    /// Whether its worker is registered and not draining.
    pub has_holder: bool,
    /// Whether agents only answer from their journal and start nothing.
    pub query_only: bool,
    /// Whether no worker may lease the batch, because the task is paused or frozen.
    pub suspended: bool,
    /// Whether a target in the batch is stopped.
    pub stop: bool,
    /// Members, by ordinal.
    pub members: Vec<Member>,
}

impl BatchRow {
    /// Returns whether the batch has no holder. A leased batch is orphaned when its lease ends by
    /// `observed_until`, a ready one when its worker is unknown or drains.
    pub fn is_orphaned(&self, observed_until: Timestamp) -> bool {
        self.lease_until.map_or(!self.has_holder, |until| until <= observed_until)
    }

    /// Returns whether the batch passed a deadline. An undelivered batch is measured by its
    /// `deliver_by` at `now`, any other by its `finish_by` at `observed_until`. A suspended batch
    /// is never overdue.
    pub fn is_overdue(&self, times: DueTimes) -> bool {
        let DueTimes { now, observed_until } = times;
        let BatchTerms { deadlines, maybe_delivered, .. } = self.terms;
        let is_undelivered = self.lease_until.is_none() && !maybe_delivered;
        !self.suspended
            && (deadlines.finish_by <= observed_until || is_undelivered && deadlines.deliver_by <= now)
    }

    /// Returns whether the targets were certainly never delivered.
    pub const fn is_undelivered(&self) -> bool {
        self.lease_until.is_none() && !self.terms.maybe_delivered
    }
}

/// A ready batch that no worker can lease before the transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawableBatch {
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Wave of its targets, from 1.
    pub wave: u16,
    /// Whether an earlier lease may have delivered the targets to their agents.
    pub maybe_delivered: bool,
    /// Number of its targets.
    pub size: u32,
}

/// A ready batch that its worker may lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyBatch {
    /// Project of the task.
    pub project_id: ProjectId,
    /// Task of the batch.
    pub task_id: TaskId,
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Number of its targets.
    pub size: u32,
    /// Deadlines of its targets.
    pub deadlines: Deadlines,
    /// Delivery timeout of the task.
    pub delivery: TimeDelta,
    /// Whether its targets may get another minute for their delivery: they were never delivered,
    /// and have no window that would end meanwhile.
    pub may_wait: bool,
    /// Number of targets of the project that the worker holds.
    pub held_by_project: u32,
    /// Number of targets of the task that the worker holds.
    pub held_by_task: u32,
    /// Number of targets that the worker accepts at the same time.
    pub capacity: u32,
    /// Total bytes of the desktop ids and agent ids in the batch.
    pub ids_bytes: u32,
    /// Number of workers that died while they held its targets.
    pub worker_deaths: u16,
    /// Maximum number of scripts that one desktop runs at the same time, from the project's limit.
    /// `None` without a limit.
    pub max_running: Option<u16>,
}

/// A batch to lease, whole or in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseChoice {
    /// Task of the batch.
    pub task_id: TaskId,
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Number of leading targets to lease; `None` for the whole batch. The rest stays ready.
    pub part: Option<u32>,
    /// Time that is added to the deadlines of the leased targets.
    pub later: TimeDelta,
}
