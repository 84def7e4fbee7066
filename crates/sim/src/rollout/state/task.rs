//! The state of a task and of a project, as the simulation knows it.

use std::collections::BTreeSet;

use domain::ids::{DesktopId, ProjectId, TaskId};

use super::agent::Script;
use crate::rollout::{
    event::{Desktop, Task},
    invariants::Invariants,
    poison::Poison,
    scenario::TaskSpec,
};

/// A task that was accepted.
#[derive(Debug)]
pub(in crate::rollout) struct TaskState {
    pub(in crate::rollout) task_id: TaskId,
    /// Place of its project.
    pub(in crate::rollout) project: usize,
    pub(in crate::rollout) spec: TaskSpec,
    pub(in crate::rollout) attempt: u16,
    /// By ordinal.
    pub(in crate::rollout) desktops: Vec<Desktop>,
    /// Scripts by ordinal.
    pub(in crate::rollout) scripts: Vec<Vec<Script>>,
    /// Poison of the results by ordinal; `None` for an honest result.
    pub(in crate::rollout) poisons: Vec<Option<Poison>>,
    /// Waves whose approver was asked.
    pub(in crate::rollout) asked: BTreeSet<u16>,
    /// The task that this one retries, and the place of its first script there.
    pub(in crate::rollout) retry_of: Option<(Task, u16)>,
    pub(in crate::rollout) invariants: Invariants,
}

/// A project.
#[derive(Debug)]
pub(in crate::rollout) struct ProjectState {
    pub(in crate::rollout) project_id: ProjectId,
    /// Number of its first desktop.
    pub(in crate::rollout) first_desktop: Desktop,
    pub(in crate::rollout) desktop_ids: Vec<DesktopId>,
}
