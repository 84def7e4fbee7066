//! The facts of a task that the rules read.

use domain::{
    Timestamp,
    deadline::{self, Deadlines, Timeouts},
    ids::ProjectId,
    policy::RolloutPolicy,
    task::TaskStatus,
    wave_start::{self, AdmissionBlock},
};

/// The facts of a task that the rules read. Only `status`, `killing`, `is_paused`, `is_frozen`,
/// `max_concurrency` and `has_project_limit` change after the task is accepted.
#[derive(Debug, Clone)]
pub struct TaskFacts {
    /// Project of the task.
    pub project_id: ProjectId,
    /// Current status of the task.
    pub status: TaskStatus,
    /// Whether workers must kill running scripts.
    pub killing: bool,
    /// Number of scripts that run on each target.
    pub script_count: u16,
    /// Whether some targets may begin with a script after the first one.
    pub resumes: bool,
    /// Attempt of all its records, from 1.
    pub attempt: u16,
    /// Timeouts from the accepted request.
    pub timeouts: Timeouts,
    /// Rules that decide what counts as a failure and what follows from it.
    pub policy: RolloutPolicy,
    /// Time after which no target starts; `None` without an expiry.
    pub expires_at: Option<Timestamp>,
    /// Whether a person paused the task.
    pub is_paused: bool,
    /// Whether the project is frozen.
    pub is_frozen: bool,
    /// Current maximum number of targets in flight; `None` without a limit.
    pub max_concurrency: Option<u32>,
    /// Whether the project limits the targets in flight over all its tasks.
    pub has_project_limit: bool,
    /// Trace context of the submission; `None` if its trace is not sampled.
    pub trace_context: Option<String>,
}

impl TaskFacts {
    /// Returns the reason why the task admits no target at `now`; `None` if it may admit.
    pub fn admission_block(&self, now: Timestamp) -> Option<AdmissionBlock> {
        wave_start::admission_block(self.is_paused, self.is_frozen, self.expires_at, now)
    }

    /// Whether the task has expired at `now` and still admits targets.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        !self.status.admits_no_more() && self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Returns whether the task is paused or frozen and would otherwise admit targets.
    pub const fn is_suspended(&self) -> bool {
        (self.is_paused || self.is_frozen) && !self.status.admits_no_more()
    }

    /// Returns the deadlines of a target that is admitted at `now`.
    pub fn deadlines(&self, now: Timestamp) -> Deadlines {
        deadline::of_target(now, &self.timeouts, u32::from(self.script_count))
    }
}
