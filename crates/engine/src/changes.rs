//! Row changes and events that a decision returns as values.

use std::collections::BTreeSet;

use domain::{
    Timestamp,
    batching::Member,
    deadline::Deadlines,
    event::EventKind,
    fingerprint::Fingerprint,
    ids::{BatchId, ProjectId, TaskId},
    outcome::Outcome,
    task::TaskStatus,
};

use crate::{
    Effect,
    row::{AwaitedReturn, NewBatch, NewDeferred, NewRecord, WaveRow},
};

/// The outcome of an operation: row changes for its transaction, and effects to report after the
/// commit.
#[derive(Debug)]
#[must_use = "the caller applies the changes and reports the effects"]
pub struct Decision {
    /// Row changes to apply in the transaction of the operation.
    pub changes: Changes,
    /// Effects to report after the commit, in the order in which they occurred.
    pub effects: Vec<Effect>,
}

/// All row changes that one transaction makes to one task. The store applies the fields in their
/// order. For batches and deferred targets, existing rows change before new rows are inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Task of all rows.
    pub task_id: TaskId,
    /// Project of the task.
    pub project_id: ProjectId,
    /// Attempt that new records carry, from 1.
    pub attempt: u16,
    /// Time of the operation, from the database's clock.
    pub now: Timestamp,
    /// Changes of the task's row.
    pub task: TaskChange,
    /// Waves that differ from their stored rows, in their new state.
    pub waves: Vec<WaveRow>,
    /// Records to insert. No record of the same target and script is stored yet.
    pub records: Vec<NewRecord>,
    /// Results of targets that have ended before, kept beside records whose outcome is unknown. A
    /// record keeps the first.
    pub late_results: Vec<NewRecord>,
    /// New failures, counted by wave and fingerprint.
    pub failures: Vec<FailureCount>,
    /// Changes of the task's awaited returns.
    pub awaited: AwaitedChanges,
    /// Changes of the task's batches.
    pub batches: BatchChanges,
    /// Changes of the task's deferred targets.
    pub deferred: DeferredChanges,
    /// Stops as pairs of ordinal and script. Scripts from that place on may not start. The earliest
    /// script wins.
    pub stops: Vec<(u32, u16)>,
    /// Whether the task has ended. The store then deletes all its batches, deferred targets,
    /// awaited returns and stops.
    pub clears_task: bool,
    /// Events to append to the task's history.
    pub events: Vec<NewEvent>,
    /// Wake-ups to send with the commit.
    pub wakes: BTreeSet<Wake>,
}

impl Changes {
    pub(crate) fn new(task_id: TaskId, project_id: ProjectId, attempt: u16, now: Timestamp) -> Self {
        Self {
            task_id,
            project_id,
            attempt,
            now,
            task: TaskChange::default(),
            waves: Vec::new(),
            records: Vec::new(),
            late_results: Vec::new(),
            failures: Vec::new(),
            batches: BatchChanges::default(),
            deferred: DeferredChanges::default(),
            awaited: AwaitedChanges::default(),
            stops: Vec::new(),
            clears_task: false,
            events: Vec::new(),
            wakes: BTreeSet::new(),
        }
    }
}

/// Changes of a task's row. `None` and `false` leave a column unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskChange {
    /// New status, with the reason of a halt or stop.
    pub status: Option<(TaskStatus, Option<String>)>,
    /// Whether workers must kill the scripts that are running.
    pub is_killed: bool,
    /// `Some(Some(actor))` pauses the task, `Some(None)` resumes it.
    pub pause: Option<Option<String>>,
    /// New maximum number of targets in flight; `Some(None)` removes the limit.
    pub max_concurrency: Option<Option<u32>>,
}

/// New failures of one wave that share a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureCount {
    /// Wave of the failures, from 1.
    pub wave: u16,
    /// Fingerprint that all counted records share.
    pub fingerprint: Fingerprint,
    /// Number of failed records.
    pub records: u32,
    /// Outcome of the first record.
    pub outcome: Outcome,
    /// Exit code of the first record; `None` if the agent killed its script, or it
    /// never started.
    pub exit_code: Option<i32>,
    /// Ordinal and script of the first record.
    pub sample_record: (u32, u16),
    /// Last part of the first record's output.
    pub sample: String,
}

/// Selects the batches to mark because they contain a stopped target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopMark {
    /// Marks no batch.
    #[default]
    Nothing,
    /// Marks the batches that contain the target with this ordinal.
    Target(u32),
    /// Marks all batches of the task.
    All,
}

/// Changes of a task's batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchChanges {
    /// Batches to delete.
    pub delete: Vec<BatchId>,
    /// Batches that lose members, with the members that remain.
    pub keep: Vec<(BatchId, Vec<Member>)>,
    /// Number of new results per batch. A batch is deleted once every member has a record.
    pub results: Vec<(BatchId, u32)>,
    /// Batches that may start nothing any more. They lose their lease, and their agents only answer
    /// from the journal.
    pub query_only: Vec<BatchId>,
    /// Whether to suspend every ready batch.
    pub suspend_ready: bool,
    /// Batches whose suspension ends, with their new deadlines.
    pub release: Vec<(BatchId, Deadlines)>,
    /// Batches to mark because a target in them is stopped.
    pub stop: StopMark,
    /// Batches to insert.
    pub insert: Vec<NewBatch>,
}

/// Changes of a task's deferred targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeferredChanges {
    /// Ordinals of targets that are no longer deferred.
    pub delete: Vec<u32>,
    /// Waves that admit no more targets. Their undelivered targets are deleted. The remaining
    /// targets become query-only: their agents only answer from the journal.
    pub withdraw: Vec<u16>,
    /// Whether to suspend every deferred target.
    pub suspend: bool,
    /// Targets whose suspension ends, with their new deadlines.
    pub release: Vec<(u32, Deadlines)>,
    /// New deadlines by ordinal.
    pub set_deadlines: Vec<(u32, Deadlines)>,
    /// Deferred targets to insert.
    pub insert: Vec<NewDeferred>,
}

/// Changes of a task's awaited returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwaitedChanges {
    /// Ordinals of targets that ended, or whose results are replaced.
    pub delete: Vec<u32>,
    /// Ordinals of targets whose remaining scripts are dispatched. Their results stay.
    pub resume: Vec<u32>,
    /// Awaited returns to insert.
    pub insert: Vec<AwaitedReturn>,
}

/// An event to append to a task's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Kind of the event.
    pub kind: EventKind,
    /// Wave that the event concerns; `None` if it concerns the whole task.
    pub wave: Option<u16>,
    /// Principal that caused the event; empty for the scheduler.
    pub actor: String,
    /// Human-readable details.
    pub detail: String,
}

impl NewEvent {
    /// Creates an event of a wave with the scheduler as its actor.
    pub fn of_wave(kind: EventKind, wave: u16, detail: impl Into<String>) -> Self {
        Self { kind, wave: Some(wave), actor: String::new(), detail: detail.into() }
    }

    /// Creates an event of the task. An empty `actor` stands for the scheduler.
    pub fn of_task(kind: EventKind, actor: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, wave: None, actor: actor.into(), detail: detail.into() }
    }
}

/// A wake-up that a commit sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wake {
    /// Wakes schedulers: a wave may have targets to admit.
    Admit,
    /// Wakes pending pulls: batches are ready.
    Ready,
    /// Wakes schedulers: deferred targets may be dispatched.
    Presence,
    /// Wakes workers: a target that they hold is stopped.
    Stop,
}
