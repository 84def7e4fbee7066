//! What a decision changes, as values.

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
    row::{NewBatch, NewDeferred, NewRecord, WaveRow},
};

/// The outcome of an operation: row changes to apply in its transaction, and effects to report after the commit.
#[derive(Debug)]
#[must_use = "the caller applies the changes and reports the effects"]
pub struct Decision {
    /// Row changes.
    pub changes: Changes,
    /// Effects.
    pub effects: Vec<Effect>,
}

/// All row changes of one task that one transaction makes. The store applies them in the order of the fields; within batches
/// and deferred targets, what was there before changes first, then new rows are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Task of all rows.
    pub task_id: TaskId,
    /// Project of the task.
    pub project_id: ProjectId,
    /// Attempt of the records.
    pub attempt: u16,
    /// Time of the operation.
    pub now: Timestamp,
    /// Changes of the task's row.
    pub task: TaskChange,
    /// Waves, as their rows are from now on.
    pub waves: Vec<WaveRow>,
    /// New records. None of them is stored yet.
    pub records: Vec<NewRecord>,
    /// New failures, counted by wave and fingerprint.
    pub failures: Vec<FailureCount>,
    /// Changes of batches.
    pub batches: BatchChanges,
    /// Changes of deferred targets.
    pub deferred: DeferredChanges,
    /// Targets to stop, each with the script from which on nothing may start. Of several stops the earliest script wins.
    pub stops: Vec<(u32, u16)>,
    /// Whether the task has ended: all its batches, deferred targets and stops are deleted.
    pub clears_task: bool,
    /// Events of the task.
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
            failures: Vec::new(),
            batches: BatchChanges::default(),
            deferred: DeferredChanges::default(),
            stops: Vec::new(),
            clears_task: false,
            events: Vec::new(),
            wakes: BTreeSet::new(),
        }
    }
}

/// Changes of a task's row. `None` and `false` leave a column as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskChange {
    /// New status, with the reason of a halt or stop.
    pub status: Option<(TaskStatus, Option<String>)>,
    /// Whether everything that runs is to be ended.
    pub is_killed: bool,
    /// `Some(Some(actor))` pauses the task, `Some(None)` resumes it.
    pub pause: Option<Option<String>>,
    /// New maximum of targets in flight; `Some(None)` removes the limit.
    pub max_concurrency: Option<Option<u32>>,
}

/// New failures of a wave that share a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureCount {
    /// Wave of the failures.
    pub wave: u16,
    /// Shared fingerprint.
    pub fingerprint: Fingerprint,
    /// Number of records.
    pub records: u32,
    /// Outcome of the first of them.
    pub outcome: Outcome,
    /// Exit code of the first of them.
    pub exit_code: Option<i32>,
    /// Ordinal and script of the first of them.
    pub sample_record: (u32, u16),
    /// End of the output of the first of them.
    pub sample: String,
}

/// Which batches are marked because something in them is to be stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopMark {
    /// None.
    #[default]
    Nothing,
    /// Those with this target.
    Target(u32),
    /// All of the task.
    All,
}

/// Changes of a task's batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchChanges {
    /// Batches to delete.
    pub delete: Vec<BatchId>,
    /// Batches that lose members, with those that stay.
    pub keep: Vec<(BatchId, Vec<Member>)>,
    /// Number of new results by batch. A batch whose members all have a record is deleted.
    pub results: Vec<(BatchId, u32)>,
    /// Batches from which nothing may start any more. Nothing holds them: agents are asked what they know.
    pub query_only: Vec<BatchId>,
    /// Holds every ready batch.
    pub suspend_ready: bool,
    /// Batches whose hold ends, with their deadlines from now on.
    pub release: Vec<(BatchId, Deadlines)>,
    /// Batches in which something is to be stopped.
    pub stop: StopMark,
    /// Batches to store.
    pub insert: Vec<NewBatch>,
}

/// Changes of a task's deferred targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeferredChanges {
    /// Targets that are deferred no more, by ordinal.
    pub delete: Vec<u32>,
    /// Waves of a task that admits no more. Targets that were certainly never handed out are deleted. Nothing holds the
    /// others: their agents are asked what they know.
    pub withdraw: Vec<u16>,
    /// Holds every deferred target.
    pub suspend: bool,
    /// Targets whose hold ends, with their deadlines from now on.
    pub release: Vec<(u32, Deadlines)>,
    /// New deadlines by ordinal.
    pub set_deadlines: Vec<(u32, Deadlines)>,
    /// Deferred targets to store.
    pub insert: Vec<NewDeferred>,
}

/// An event to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// Wave that it happened to.
    pub wave: Option<u16>,
    /// Principal that did it; empty for the scheduler.
    pub actor: String,
    /// Details for people.
    pub detail: String,
}

impl NewEvent {
    /// An event of a wave, done by the scheduler.
    pub fn of_wave(kind: EventKind, wave: u16, detail: impl Into<String>) -> Self {
        Self { kind, wave: Some(wave), actor: String::new(), detail: detail.into() }
    }

    /// An event of the task, done by a principal; an empty `actor` is the scheduler.
    pub fn of_task(kind: EventKind, actor: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, wave: None, actor: actor.into(), detail: detail.into() }
    }
}

/// Who is woken by a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wake {
    /// Schedulers: a wave may have targets to cut.
    Admit,
    /// Pulls: batches are ready.
    Ready,
    /// Schedulers: deferred targets may be handed out.
    Presence,
    /// Workers: something that they hold is to be stopped.
    Stop,
}
