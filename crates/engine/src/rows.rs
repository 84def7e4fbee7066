//! The rows of one transaction, as the operations load and change them.

use std::collections::HashSet;

use domain::{
    Timestamp,
    gate::Results,
    ids::{BatchId, ProjectId, TaskId, WorkerId},
    tally::Tally,
};

use crate::{
    Changes, DueTimes, Duty, DutyKind,
    row::{
        AwaitedRow, BatchRow, DeferredRow, LeaseChoice, ReadyBatch, TargetRow, TaskFacts, WaveRow,
        Whereabouts, WithdrawableBatch,
    },
};

/// The locked state of a task.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The task, read after the locks were taken.
    pub facts: TaskFacts,
    /// Waves that can still change, by number. They are trailing waves, the waves of the requested
    /// ordinals, and the current wave, which is the first that is not closed.
    pub waves: Vec<WaveRow>,
    /// Sum of the results of all other waves.
    pub settled: Results,
}

/// Selects the targets of a task to read.
#[derive(Debug, Clone, Copy)]
pub enum TargetSelection<'a> {
    /// Targets with these ordinals.
    Ordinals(&'a [u32]),
    /// A run of the plan.
    Next {
        /// First ordinal.
        first: u32,
        /// Number of targets.
        number: u32,
    },
}

/// Selects the data to read in addition to the targets' rows.
#[derive(Debug, Clone, Copy)]
pub enum TargetDetail<'a> {
    /// No additional data.
    Plain,
    /// The presence of their desktops.
    Presence,
    /// Their leases by these batches.
    Leases(&'a [BatchId]),
}

/// The rows of one transaction. Locks last until the transaction ends. Their order is: waves
/// (ascending), batches (by id), deferred targets. Each method is one round trip where the database
/// allows it.
pub trait Rows: Send {
    /// Error of a failed statement.
    type Error: Send;

    /// Locks the waves of a task that can still change, and the begun waves of these ordinals.
    /// Returns `None` when the task does not exist.
    fn lock(
        &mut self,
        task_id: TaskId,
        ordinals: &[u32],
    ) -> impl Future<Output = Result<Option<Snapshot>, Self::Error>> + Send;

    /// Locks the first wave after this one that can still change.
    fn lock_next_wave(
        &mut self,
        task_id: TaskId,
        after: u16,
    ) -> impl Future<Output = Result<Option<WaveRow>, Self::Error>> + Send;

    /// Sums the target tallies of all waves except these.
    fn other_tallies(
        &mut self,
        task_id: TaskId,
        waves: &[u16],
    ) -> impl Future<Output = Result<Tally, Self::Error>> + Send;

    /// Locks the project's limit and returns how many more targets its tasks may have in flight;
    /// `None` without a limit.
    fn lock_room(
        &mut self,
        project_id: &ProjectId,
    ) -> impl Future<Output = Result<Option<u32>, Self::Error>> + Send;

    /// Reads targets in the order of the plan.
    fn targets(
        &mut self,
        task_id: TaskId,
        project_id: &ProjectId,
        selection: TargetSelection<'_>,
        detail: TargetDetail<'_>,
    ) -> impl Future<Output = Result<Vec<TargetRow>, Self::Error>> + Send;

    /// Returns the whereabouts of targets without a result. Omits targets that are neither in a
    /// batch nor deferred.
    fn whereabouts(
        &mut self,
        task_id: TaskId,
        ordinals: &[u32],
    ) -> impl Future<Output = Result<Vec<Whereabouts>, Self::Error>> + Send;

    /// Locks batches by id. Omits deleted batches.
    fn lock_batches(
        &mut self,
        task_id: TaskId,
        batch_ids: &[BatchId],
    ) -> impl Future<Output = Result<Vec<BatchRow>, Self::Error>> + Send;

    /// Locks all ready batches of a task.
    fn lock_ready(
        &mut self,
        task_id: TaskId,
    ) -> impl Future<Output = Result<Vec<WithdrawableBatch>, Self::Error>> + Send;

    /// Locks all suspended batches of a task.
    fn lock_suspended(
        &mut self,
        task_id: TaskId,
    ) -> impl Future<Output = Result<Vec<BatchRow>, Self::Error>> + Send;

    /// Reads the suspended deferred targets of a task.
    fn suspended_deferred(
        &mut self,
        task_id: TaskId,
    ) -> impl Future<Output = Result<Vec<DeferredRow>, Self::Error>> + Send;

    /// Reads deferred targets by ordinal.
    fn deferred(
        &mut self,
        task_id: TaskId,
        ordinals: &[u32],
    ) -> impl Future<Output = Result<Vec<DeferredRow>, Self::Error>> + Send;

    /// Reads the reachable deferred targets of a wave (see [`DeferredRow::is_reachable`]) in the
    /// order of the plan. Returns all that may have been delivered, and at most `limit` undelivered
    /// ones.
    fn reachable_deferred(
        &mut self,
        task_id: TaskId,
        wave: u16,
        limit: u32,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<DeferredRow>, Self::Error>> + Send;

    /// Reads awaited returns by ordinal, each with the presence of its desktop. Includes those
    /// whose targets continue.
    fn awaited_returns(
        &mut self,
        task_id: TaskId,
        ordinals: &[u32],
    ) -> impl Future<Output = Result<Vec<AwaitedRow>, Self::Error>> + Send;

    /// Reads the ids of the fingerprints that the task's failures have.
    fn fingerprint_ids(
        &mut self,
        task_id: TaskId,
    ) -> impl Future<Output = Result<HashSet<i64>, Self::Error>> + Send;

    /// Locks the freeze of a project. Returns false when the project is not frozen.
    fn lock_freeze(
        &mut self,
        project_id: &ProjectId,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Removes the freeze of a project. Returns false when the project is not frozen.
    fn unfreeze(&mut self, project_id: &ProjectId) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Reads the tasks of a project that may still admit targets, in lock order.
    fn open_tasks(
        &mut self,
        project_id: &ProjectId,
    ) -> impl Future<Output = Result<Vec<TaskId>, Self::Error>> + Send;

    /// Reads at most `limit` rows of work of all projects that time makes due. Omits work that
    /// waits for another condition. The operation that performs a duty checks it again under its
    /// locks.
    fn due(
        &mut self,
        kind: DutyKind,
        times: DueTimes,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Duty>, Self::Error>> + Send;

    /// Applies the changes of a decision.
    fn apply(&mut self, changes: &Changes) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// The rows that a lease reads and changes. It takes no lock on a wave.
pub trait LeaseRows: Send {
    /// Error of a failed statement.
    type Error: Send;

    /// Locks ready batches of the worker that no concurrent lease is about to take: first one batch
    /// of each project, the first of the task that holds least on the worker, then the second ones.
    /// The flag reports whether the worker holds a batch under suspicion (see `domain::quarantine`)
    /// that it leased after `survived`. Suspended batches are included only if `with_suspended`.
    fn lock_leasable(
        &mut self,
        worker_id: &WorkerId,
        survived: Timestamp,
        with_suspended: bool,
        limit: u32,
    ) -> impl Future<Output = Result<(Vec<ReadyBatch>, bool), Self::Error>> + Send;

    /// Leases locked batches to their worker until `until`, in the order of the choices. The rest
    /// of a batch that is leased in part stays as a ready batch.
    fn lease(
        &mut self,
        choices: &[LeaseChoice],
        now: Timestamp,
        until: Timestamp,
    ) -> impl Future<Output = Result<Vec<BatchRow>, Self::Error>> + Send;
}
