//! A task as the rules see it.

use domain::{
    Timestamp,
    deadline::{self, Deadlines, Timeouts},
    ids::ProjectId,
    policy::RolloutPolicy,
    task::TaskStatus,
    wave_start::{self, AdmissionBlock},
};

/// A task as the rules see it. Only `status`, `killing`, `is_paused`, `is_frozen`, `max_concurrency` and
/// `has_project_limit` change after the task is accepted.
#[derive(Debug, Clone)]
pub struct TaskFacts {
    /// Project of the task.
    pub project_id: ProjectId,
    /// Status of the task.
    pub status: TaskStatus,
    /// Whether everything that runs is to be ended.
    pub killing: bool,
    /// Scripts that run on each target.
    pub script_count: u16,
    /// Whether some targets may begin with a later script than the first.
    pub resumes: bool,
    /// Attempt of all its records, from 1.
    pub attempt: u16,
    /// Timeouts that the task was accepted with.
    pub timeouts: Timeouts,
    /// What counts as a failure, and what follows from it.
    pub policy: RolloutPolicy,
    /// Time after which nothing starts.
    pub expires_at: Option<Timestamp>,
    /// Whether a person paused the task.
    pub is_paused: bool,
    /// Whether the project is frozen.
    pub is_frozen: bool,
    /// Maximum number of targets in flight, as it was set last.
    pub max_concurrency: Option<u32>,
    /// Whether the project limits the targets in flight over all its tasks.
    pub has_project_limit: bool,
    /// Trace context of the submission, where that is sampled.
    pub trace_context: Option<String>,
}

impl TaskFacts {
    /// What keeps the task from admitting anything at `now`.
    pub fn admission_block(&self, now: Timestamp) -> Option<AdmissionBlock> {
        wave_start::admission_block(self.is_paused, self.is_frozen, self.expires_at, now)
    }

    /// Whether the task is on hold until a person ends the hold.
    pub const fn is_suspended(&self) -> bool {
        (self.is_paused || self.is_frozen) && !self.status.admits_no_more()
    }

    /// Deadlines of a target that is admitted at `now`.
    pub fn deadlines(&self, now: Timestamp) -> Deadlines {
        deadline::of_target(now, &self.timeouts, u32::from(self.script_count))
    }
}
