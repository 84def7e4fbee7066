//! The tables.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
    wave::WaveStatus,
};
use engine::{
    FailureCount, NewEvent, Wake,
    row::{BatchRow, DeferredRow, NewRecord, Presence, TargetRow, TaskFacts, WaveRow},
};
use uuid::Uuid;

/// All rows of all projects.
#[derive(Debug, Default)]
pub struct MemoryStore {
    pub(super) tasks: BTreeMap<TaskId, TaskTable>,
    pub(super) desktops: BTreeMap<ProjectId, HashMap<DesktopId, Presence>>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) freezes: BTreeSet<ProjectId>,
    /// Maximum number of targets in flight by project.
    pub(super) limits: BTreeMap<ProjectId, u32>,
    pub(super) wakes: BTreeSet<Wake>,
    last_batch: u128,
}

/// A worker's row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worker {
    pub(super) last_heartbeat_at: Timestamp,
    pub(super) is_draining: bool,
}

/// A task to store.
#[derive(Debug)]
pub struct NewTask {
    /// Id of the task.
    pub task_id: TaskId,
    /// The task itself. The store sets `is_frozen` and `has_project_limit` at each load.
    pub facts: TaskFacts,
    /// Waves, by number.
    pub waves: Vec<WaveRow>,
    /// Desktop and first script of each target, in the order of the plan.
    pub targets: Vec<(DesktopId, u16)>,
}

/// A batch's row.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The row as the engine reads it.
    pub row: BatchRow,
    /// Time of the last lease.
    pub leased_at: Option<Timestamp>,
    /// Number of results that named the batch.
    pub reported: u32,
}

/// The rows of one task.
#[derive(Debug)]
pub struct TaskTable {
    /// The task itself.
    pub facts: TaskFacts,
    /// Waves, by number.
    pub waves: Vec<WaveRow>,
    /// Batches, oldest first.
    pub batches: BTreeMap<BatchId, Batch>,
    /// Deferred targets by ordinal, with the presence of their desktops.
    pub deferred: BTreeMap<u32, DeferredRow>,
    /// First script that may not start, by the ordinal of the stopped target.
    pub stops: BTreeMap<u32, u16>,
    /// Records by ordinal; empty for a target that has not ended.
    pub records: Vec<Vec<NewRecord>>,
    /// Failures by wave and fingerprint.
    pub failures: BTreeMap<(u16, i64), FailureCount>,
    /// Events, oldest first.
    pub events: Vec<NewEvent>,
    pub(super) targets: Vec<TargetRow>,
    pub(super) fingerprint_ids: HashSet<i64>,
    pub(super) ordinals: HashMap<DesktopId, u32>,
}

impl MemoryStore {
    /// Stores a task.
    pub fn insert_task(&mut self, task: NewTask) {
        let ordinals = task.targets.iter().map(|(desktop_id, _)| desktop_id.clone()).zip(0..).collect();
        let target = |((desktop_id, first_script), ordinal)| TargetRow {
            ordinal,
            desktop_id,
            first_script,
            has_ended: false,
            stop: None,
            presence: None,
            lease: None,
        };
        let table = TaskTable {
            facts: task.facts,
            waves: task.waves,
            batches: BTreeMap::new(),
            deferred: BTreeMap::new(),
            stops: BTreeMap::new(),
            records: vec![Vec::new(); task.targets.len()],
            failures: BTreeMap::new(),
            events: Vec::new(),
            targets: task.targets.into_iter().zip(0..).map(target).collect(),
            fingerprint_ids: HashSet::new(),
            ordinals,
        };
        self.tasks.insert(task.task_id, table);
    }

    /// The rows of a task.
    pub fn task(&self, task_id: TaskId) -> Option<&TaskTable> {
        self.tasks.get(&task_id)
    }

    /// Sets the maximum number of targets in flight of a project.
    pub fn set_project_limit(&mut self, project_id: &ProjectId, max_in_flight: Option<u32>) {
        match max_in_flight {
            Some(most) => self.limits.insert(project_id.clone(), most),
            None => self.limits.remove(project_id),
        };
    }

    /// Freezes a project; false when it is frozen.
    pub fn freeze(&mut self, project_id: &ProjectId) -> bool {
        self.freezes.insert(project_id.clone())
    }

    /// Whether a project is frozen.
    pub fn is_frozen(&self, project_id: &ProjectId) -> bool {
        self.freezes.contains(project_id)
    }

    /// Takes the wake-ups that were sent since the last call.
    pub fn take_wakes(&mut self) -> BTreeSet<Wake> {
        std::mem::take(&mut self.wakes)
    }

    /// Tasks that may have something to cut at `now`. Holds and approvals are left to the engine.
    pub fn to_cut(&self, now: Timestamp) -> Vec<TaskId> {
        let may_cut = |table: &TaskTable| {
            let next = table.current().filter(|_| !table.facts.status.admits_no_more());
            next.is_some_and(|row| match row.state.status {
                WaveStatus::Open => row.cursor < row.state.size,
                WaveStatus::Pending => row.opening.opens_at.is_none_or(|opens_at| opens_at <= now),
                _ => false,
            })
        };
        self.tasks.iter().filter(|(_, table)| may_cut(table)).map(|(&task_id, _)| task_id).collect()
    }

    /// The connection of a desktop; `None` when no such desktop is known.
    pub fn presence(&self, project_id: &ProjectId, desktop_id: &DesktopId) -> Option<&Presence> {
        self.desktops.get(project_id)?.get(desktop_id)
    }

    /// Ids count upwards, so that their order is that of the inserts.
    pub(super) const fn next_batch_id(&mut self) -> BatchId {
        self.last_batch += 1;
        BatchId(Uuid::from_u128(self.last_batch))
    }

    /// Whether a worker is known and takes work.
    pub(super) fn takes_work(&self, worker_id: &WorkerId) -> bool {
        self.workers.get(worker_id).is_some_and(|worker| !worker.is_draining)
    }
}

impl TaskTable {
    /// The current wave: the first that is not closed.
    pub fn current(&self) -> Option<&WaveRow> {
        self.waves.iter().find(|row| row.state.status != WaveStatus::Closed)
    }

    /// A wave by number.
    pub fn wave(&self, wave: u16) -> Option<&WaveRow> {
        self.waves.iter().find(|row| row.wave == wave)
    }

    /// Whether the records of a target are stored.
    pub fn has_ended(&self, ordinal: u32) -> bool {
        self.records.get(ordinal as usize).is_some_and(|records| !records.is_empty())
    }

    /// Number of targets.
    pub const fn size(&self) -> usize {
        self.targets.len()
    }
}
