//! Filters that every list of tasks has.

use control::TaskFilter;
use domain::{period::Period, task::TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    error::ApiError,
    extract::{TaskType, query},
};

/// Status of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum StatusWord {
    Waiting,
    Running,
    Success,
    Failed,
}

impl StatusWord {
    /// Task states that the family reports under this status.
    pub(crate) fn statuses(self) -> Vec<TaskStatus> {
        let word = match self {
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
        };
        TaskStatus::ALL.into_iter().filter(|status| status.api_status() == word).collect()
    }
}

/// Filters of tasks by id, script, status and time.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct TaskQuery {
    /// Only these tasks.
    task_id: Vec<String>,
    /// Only tasks that run this script.
    script_id: Option<String>,
    /// Only tasks that run a script with exactly this name.
    script_name: Option<String>,
    /// Only tasks with this status.
    status: Option<StatusWord>,
    /// Only tasks that run scripts, or only tasks that run a command.
    task_type: Option<TaskType>,
    /// Only tasks created or started at or after this time. A time without a fraction stands for
    /// its whole second.
    #[param(format = DateTime)]
    execute_time_start: Option<String>,
    /// Only tasks created or started at or before this time. A time without a fraction stands for
    /// its whole second.
    #[param(format = DateTime)]
    execute_time_end: Option<String>,
}

impl TaskQuery {
    /// Builds the filter; `None` if the script id is malformed, which matches nothing.
    pub(crate) fn filter(self) -> Result<Option<TaskFilter>, ApiError> {
        let period = Period::parse(
            ("execute_time_start", self.execute_time_start.as_deref()),
            ("execute_time_end", self.execute_time_end.as_deref()),
        )?;
        let script_id = match query::text(self.script_id).as_deref().map(str::parse) {
            Some(Err(_)) => return Ok(None),
            Some(Ok(id)) => Some(id),
            None => None,
        };
        Ok(Some(TaskFilter {
            task_ids: query::ids(self.task_id),
            script_id,
            script_name: query::text(self.script_name),
            statuses: self.status.map(StatusWord::statuses),
            runs_command: self.task_type.map(TaskType::runs_command),
            period,
            ..TaskFilter::default()
        }))
    }
}
