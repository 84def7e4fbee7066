//! ListScriptTasks of the compatible family.

use axum::Json;
use control::{PinnedScript, Selection, TaskEntry, TaskFilter};
use domain::{authz::Action, page::SCRIPT_LISTS};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    task_query::{StatusWord, TaskQuery},
    time,
};
use crate::{
    dto::{LimitQuery, OffsetQuery, Project, ScriptType},
    error::ApiError,
    extract::{Authorized, Parameters, query},
};

/// One page of tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tasks {
    /// Total number of matching tasks.
    count: i64,
    script_tasks: Vec<Task>,
}

/// A script of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskScript {
    id: String,
    /// Name of the script at the revision that the task runs.
    name: String,
}

impl TaskScript {
    pub(crate) fn all(pinned: Vec<PinnedScript>) -> Vec<Self> {
        pinned
            .into_iter()
            .filter_map(|pinned| {
                let (script_id, _) = pinned.script?;
                Some(Self { id: script_id.to_string(), name: pinned.name })
            })
            .collect()
    }
}

/// A task with its counts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Task {
    id: String,
    task_scripts: Vec<TaskScript>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ScriptType>)]
    command_type: Option<&'static str>,
    resource_type: &'static str,
    /// Ids of the first 1,000 desktops in plan order, gray wave first. `/v1` lists all of them in
    /// pages.
    #[schema(max_items = 1000)]
    resource_ids: Vec<String>,
    /// Ids of the first 1,000 desktops of the gray wave.
    #[schema(max_items = 1000)]
    gray_resource_ids: Vec<String>,
    /// Action on each desktop after its last script: STOP or REBOOT; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    post_finish: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group_id: Option<String>,
    /// Number of records that succeeded.
    success_num: u64,
    /// Number of records that did not succeed, including stopped ones.
    failed_num: u64,
    /// Number of records that never start.
    skip_num: u64,
    #[schema(format = DateTime)]
    start_time: Option<String>,
    #[schema(format = DateTime)]
    end_time: Option<String>,
    #[schema(value_type = StatusWord)]
    status: &'static str,
    /// Task that this task retries.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_of: Option<String>,
    /// Tasks that retry this task or single records of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    retried_by: Vec<String>,
}

impl From<TaskEntry> for Task {
    fn from(entry: TaskEntry) -> Self {
        let (command_type, command_content) = entry.task.command.unzip();
        let pool = match entry.task.selection {
            Some(Selection::Pool(pool_id)) => Some(pool_id),
            Some(Selection::Tag(_)) | None => None,
        };
        Self {
            id: entry.task.task_id.to_string(),
            task_scripts: TaskScript::all(entry.scripts),
            command_content,
            command_type: command_type.map(domain::script::ScriptType::as_str),
            resource_type: "DESKTOP",
            resource_ids: entry.desktop_ids,
            gray_resource_ids: entry.gray_desktop_ids,
            post_finish: entry.task.policy.returns.post_finish.map(|it| it.as_str().to_uppercase()),
            resource_group_type: pool.as_ref().map(|_| control::POOL_GROUP),
            resource_group_id: pool,
            success_num: entry.counts.success_num,
            failed_num: entry.counts.failed_num,
            skip_num: entry.counts.skip_num,
            start_time: entry.task.started_at.map(time),
            end_time: entry.task.ended_at.map(time),
            status: entry.task.status.api_status(),
            retry_of: entry.task.retry_of.map(|old| old.task_id.to_string()),
            retried_by: entry.task.retried_by.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Filters of tasks by the group that selected their desktops.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only tasks over desktops of these pools.
    resource_group_id: Vec<String>,
    /// Only tasks whose desktops were selected this way: `DESKTOP_POOL`.
    resource_group_type: Option<String>,
}

impl ListQuery {
    /// Narrows a filter to these pools; `None` if the group type matches nothing.
    fn narrow(self, filter: TaskFilter) -> Option<TaskFilter> {
        let group_type = query::text(self.resource_group_type);
        if group_type.as_deref().is_some_and(|word| word != control::POOL_GROUP) {
            return None;
        }
        let pool_ids = query::texts(self.resource_group_id);
        Some(TaskFilter {
            pool_ids: (!pool_ids.is_empty()).then_some(pool_ids),
            has_pool: group_type.map(|_| true),
            ..filter
        })
    }
}

/// List tasks, newest first.
#[utoipa::path(
    get, path = "/v2/{project_id}/script-execution-tasks", operation_id = "ListScriptTasks", tag = "tasks",
    params(Project, OffsetQuery, LimitQuery, TaskQuery, ListQuery),
    responses((status = 200, description = "One page.", body = Tasks)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(offset): Parameters<OffsetQuery>,
    Parameters(LimitQuery { limit }): Parameters<LimitQuery>,
    Parameters(tasks): Parameters<TaskQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Tasks>, ApiError> {
    let page = offset.page(SCRIPT_LISTS, limit)?;
    let Some(filter) = tasks.filter()?.and_then(|filter| query.narrow(filter)) else {
        return Ok(Json(Tasks { count: 0, script_tasks: Vec::new() }));
    };
    let (count, entries) = control.list_tasks(&caller, Action::ListTasks, &filter, page).await?;
    Ok(Json(Tasks { count, script_tasks: entries.into_iter().map(Task::from).collect() }))
}
