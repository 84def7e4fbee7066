//! Rows in memory, as the engine reads and writes them on Postgres. They hold no rule: each method
//! returns or changes rows, and the conformance test compares them with `store::TaskRows`,
//! operation by operation.

mod apply;
mod lease;
mod read;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
};
use engine::{
    FailureCount, NewEvent, Wake,
    row::{AwaitedRow, BatchRow, DeferredRow, NewRecord, Presence, TaskFacts, WaveRow},
};
use uuid::Uuid;

/// Result of an operation that cannot fail.
type Always<T> = Result<T, std::convert::Infallible>;

/// All rows of all projects.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Tasks in the order of their ids.
    pub tasks: BTreeMap<TaskId, TaskTable>,
    /// Desktops by project, each with its last known connection.
    pub desktops: BTreeMap<ProjectId, HashMap<DesktopId, Presence>>,
    /// Known workers.
    pub workers: BTreeMap<WorkerId, WorkerRow>,
    /// Frozen projects.
    pub freezes: BTreeSet<ProjectId>,
    /// Times at which desktops were retired or revoked.
    pub out_of_service_since: BTreeMap<(ProjectId, DesktopId), Timestamp>,
    /// Limits of projects that have some.
    pub limits: BTreeMap<ProjectId, ProjectLimits>,
    /// Wake-ups that commits sent since the last [`MemoryStore::take_wakes`].
    pub wakes: BTreeSet<Wake>,
    last_batch: u128,
}

/// A worker's row.
#[derive(Debug, Clone, Copy)]
pub struct WorkerRow {
    /// Time of its last heartbeat, by the clock of the scheduler that stored it.
    pub heartbeat_at: Timestamp,
    /// Whether it takes no more work.
    pub is_draining: bool,
    /// Number of targets that it accepts at the same time.
    pub capacity: u32,
}

/// Limits of a project; `None` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProjectLimits {
    /// Maximum number of targets in flight over all tasks.
    pub max_in_flight: Option<u32>,
    /// Maximum number of scripts that run on one desktop at the same time.
    pub max_running_per_desktop: Option<u16>,
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
    /// The task. `is_frozen` and `has_project_limit` are read from the tables of freezes and limits
    /// instead.
    pub facts: TaskFacts,
    /// Waves, by number.
    pub waves: Vec<WaveRow>,
    /// Desktop and first script of each target, by ordinal.
    pub targets: Vec<(DesktopId, u16)>,
    /// Batches, oldest first.
    pub batches: BTreeMap<BatchId, Batch>,
    /// Deferred targets by ordinal, with their stops and the presence of their desktops.
    pub deferred: BTreeMap<u32, DeferredRow>,
    /// Awaited returns by ordinal, with the presence of their desktops.
    pub awaited: BTreeMap<u32, AwaitedRow>,
    /// First script that may not start, by the ordinal of the stopped target.
    pub stops: BTreeMap<u32, u16>,
    /// Records by ordinal; empty for a target that has not ended.
    pub records: Vec<Vec<NewRecord>>,
    /// Failures by wave and fingerprint.
    pub failures: BTreeMap<(u16, i64), FailureCount>,
    /// Events, oldest first.
    pub events: Vec<NewEvent>,
    /// The task that this one retries, and the record (ordinal and script) if it retries only one.
    pub retry_of: Option<(TaskId, Option<(u32, u16)>)>,
}

impl MemoryStore {
    /// Ids count upwards, so that their order is that of the inserts.
    const fn next_batch_id(&mut self) -> BatchId {
        self.last_batch += 1;
        BatchId(Uuid::from_u128(self.last_batch))
    }
}

impl TaskTable {
    /// Whether the records of a target are stored.
    pub fn has_ended(&self, ordinal: u32) -> bool {
        self.records.get(ordinal as usize).is_some_and(|records| !records.is_empty())
    }

    /// Number of the results of a target whose return is awaited; `None` if it is not.
    pub fn awaited(&self, ordinal: u32) -> Option<u16> {
        let row = self.awaited.get(&ordinal).filter(|row| !row.is_resumed);
        row.map(|row| row.awaited.results())
    }

    /// Whether the results of a target before its reboot are kept while it continues.
    pub fn is_resumed(&self, ordinal: u32) -> bool {
        self.awaited.get(&ordinal).is_some_and(|row| row.is_resumed)
    }
}
