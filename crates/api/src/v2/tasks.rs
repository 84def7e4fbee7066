//! ListScriptTasks.

use axum::{Extension, Json, extract::State};
use control::{Control, TaskEntry, TaskFilter};
use domain::{Error, ids::ProjectId, page::SCRIPT_LISTS, task::TaskStatus};
use serde::Serialize;

use super::time;
use crate::{error::ApiError, query::Parameters};

#[derive(Debug, Serialize)]
pub(crate) struct Tasks {
    count: i64,
    script_tasks: Vec<Task>,
}

#[derive(Debug, Serialize)]
struct TaskScript {
    id: String,
    name: String,
}

#[derive(Debug, Serialize)]
struct Task {
    id: String,
    task_scripts: Vec<TaskScript>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_type: Option<&'static str>,
    resource_type: &'static str,
    resource_ids: Vec<String>,
    gray_resource_ids: Vec<String>,
    success_num: u64,
    failed_num: u64,
    skip_num: u64,
    start_time: Option<String>,
    end_time: Option<String>,
    status: &'static str,
}

impl From<TaskEntry> for Task {
    fn from(entry: TaskEntry) -> Self {
        let (command_type, command_content) = entry.task.command.unzip();
        let scripts = entry.scripts.into_iter();
        Self {
            id: entry.task.task_id.to_string(),
            task_scripts: scripts
                .filter_map(|pinned| {
                    let (script_id, _) = pinned.script?;
                    Some(TaskScript { id: script_id.to_string(), name: pinned.name })
                })
                .collect(),
            command_content,
            command_type: command_type.map(domain::script::ScriptType::as_str),
            resource_type: "DESKTOP",
            resource_ids: entry.desktop_ids,
            gray_resource_ids: entry.gray_desktop_ids,
            success_num: entry.counts.success_num,
            failed_num: entry.counts.failed_num,
            skip_num: entry.counts.skip_num,
            start_time: entry.task.started_at.map(time),
            end_time: entry.task.ended_at.map(time),
            status: entry.task.status.api_status(),
        }
    }
}

pub(crate) async fn list(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    parameters: Parameters,
) -> Result<Json<Tasks>, ApiError> {
    let page = parameters.page(SCRIPT_LISTS)?;
    let script_id = match parameters.one("script_id").map(str::parse) {
        Some(Err(_)) => return Ok(Json(Tasks { count: 0, script_tasks: Vec::new() })),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let filter = TaskFilter {
        task_ids: parameters.id("task_id"),
        script_id,
        script_name: parameters.one("script_name").map(str::to_owned),
        statuses: parameters.one("status").map(statuses).transpose()?,
        runs_command: parameters.runs_command()?,
        from: parameters.time("execute_time_start")?,
        until: parameters.time("execute_time_end")?,
    };
    let (count, entries) = control.list_tasks(&project_id, &filter, page).await?;
    Ok(Json(Tasks { count, script_tasks: entries.into_iter().map(Task::from).collect() }))
}

/// The states that the API has this word for.
fn statuses(word: &str) -> Result<Vec<TaskStatus>, Error> {
    let found: Vec<TaskStatus> =
        TaskStatus::ALL.into_iter().filter(|status| status.api_status() == word).collect();
    if found.is_empty() {
        return Err(Error::invalid("status must be one of WAITING, RUNNING, SUCCESS, FAILED"));
    }
    Ok(found)
}
