//! Batches: targets of one wave for one worker.

use domain::{
    Timestamp,
    batching::Member,
    deadline::Deadlines,
    ids::{BatchId, TaskId, WorkerId},
};

/// What the batches of one cut share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchTerms {
    /// Task of the batch.
    pub task_id: TaskId,
    /// Wave of its targets.
    pub wave: u16,
    /// Deadlines of its targets.
    pub deadlines: Deadlines,
    /// Whether an earlier lease may have handed the targets out.
    pub maybe_delivered: bool,
    /// Workers that died while they suspended the targets.
    pub worker_deaths: u16,
}

/// A batch to store, ready for its worker. The store assigns the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBatch {
    /// Worker that is to reach the targets.
    pub worker_id: WorkerId,
    /// Terms of the cut.
    pub terms: BatchTerms,
    /// Targets, by ordinal.
    pub members: Vec<Member>,
    /// Whether agents only answer what they know and start nothing, because the task admits no more.
    pub query_only: bool,
    /// Whether nobody may lease it, because the task is on hold.
    pub suspended: bool,
    /// Whether something in it is to be stopped.
    pub stop: bool,
}

/// A batch's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Terms of its cut.
    pub terms: BatchTerms,
    /// Worker that holds it, or is to pull it.
    pub worker_id: WorkerId,
    /// Number of its leases.
    pub epoch: u32,
    /// End of the lease; `None` while the batch is ready.
    pub lease_until: Option<Timestamp>,
    /// Whether its worker is known and takes work.
    pub has_holder: bool,
    /// Whether agents only answer what they know and start nothing.
    pub query_only: bool,
    /// Whether nobody may lease it.
    pub suspended: bool,
    /// Whether something in it is to be stopped.
    pub stop: bool,
    /// Targets, by ordinal.
    pub members: Vec<Member>,
}

impl BatchRow {
    /// Whether nobody holds the batch: its lease ended by `observed_until`, or its worker is gone before the lease.
    pub fn is_orphaned(&self, observed_until: Timestamp) -> bool {
        self.lease_until.map_or(!self.has_holder, |until| until <= observed_until)
    }

    /// Whether the batch passed a deadline: what was never handed out its `deliver_by` at `now`, everything else its
    /// `finish_by`, by which a result should have been observed_until. The time of a suspended batch does not run.
    pub fn is_overdue(&self, now: Timestamp, observed_until: Timestamp) -> bool {
        let BatchTerms { deadlines, maybe_delivered, .. } = self.terms;
        let is_undelivered = self.lease_until.is_none() && !maybe_delivered;
        !self.suspended
            && (deadlines.finish_by <= observed_until || is_undelivered && deadlines.deliver_by <= now)
    }

    /// Whether the targets were certainly never handed out.
    pub const fn is_undelivered(&self) -> bool {
        self.lease_until.is_none() && !self.terms.maybe_delivered
    }
}

/// A ready batch that nobody can lease before the transaction ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawableBatch {
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Wave of its targets.
    pub wave: u16,
    /// Whether an earlier lease may have handed the targets out.
    pub maybe_delivered: bool,
    /// Number of its targets.
    pub size: u32,
}

/// A ready batch that its worker may lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyBatch {
    /// Task of the batch.
    pub task_id: TaskId,
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Number of its targets.
    pub size: u32,
    /// Bytes of the ids of its desktops and agents.
    pub ids_bytes: u32,
    /// Workers that died while they suspended its targets.
    pub worker_deaths: u16,
    /// Scripts that one desktop may run at the same time, by the limit of its project.
    pub max_running: Option<u16>,
}

/// A batch that is leased, whole or in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseChoice {
    /// Task of the batch.
    pub task_id: TaskId,
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Number of its first targets that are leased, if not all. The rest stays ready.
    pub part: Option<u32>,
}
