//! ShowDesktopPoolsScriptExecTasks: tasks that were submitted for a pool. Its status values differ
//! from those of its own filter; both are as published.

use axum::Json;
use control::{Selection, TaskEntry, TaskFilter};
use domain::{authz::Action, page::POOL_TASKS};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    tasks::{StatusWord, TaskScript},
    time,
};
use crate::{
    dto::{OffsetQuery, Project, ScriptType},
    error::ApiError,
    extract::{Authorized, Parameters, TaskType, query},
};

/// One page of the tasks of pools.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolTasks {
    /// Total number of matching tasks.
    total_count: i64,
    script_execution_tasks: Vec<PoolTask>,
}

/// Status of a pool task.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(dead_code, reason = "documents the values; domain prints them")]
pub(crate) enum PoolStatusWord {
    Init,
    Running,
    Finish,
    Failed,
}

/// A task of a pool.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolTask {
    id: String,
    desktop_pool_id: String,
    /// Name of the pool. Agents report only the pool id, so this is the id.
    desktop_pool_name: String,
    scripts: Vec<TaskScript>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ScriptType>)]
    command_type: Option<&'static str>,
    #[schema(format = DateTime)]
    start_time: Option<String>,
    #[schema(format = DateTime)]
    end_time: Option<String>,
    #[schema(value_type = PoolStatusWord)]
    status: &'static str,
    success_num: u64,
    failed_num: u64,
    skip_num: u64,
}

impl From<TaskEntry> for PoolTask {
    fn from(entry: TaskEntry) -> Self {
        let (command_type, command_content) = entry.task.command.unzip();
        let pool_id = match entry.task.selection {
            Some(Selection::Pool(pool_id)) => pool_id,
            Some(Selection::Tag(_)) | None => String::new(),
        };
        Self {
            id: entry.task.task_id.to_string(),
            desktop_pool_id: pool_id.clone(),
            desktop_pool_name: pool_id,
            scripts: TaskScript::all(entry.scripts),
            command_content,
            command_type: command_type.map(domain::script::ScriptType::as_str),
            start_time: entry.task.started_at.map(time),
            end_time: entry.task.ended_at.map(time),
            status: entry.task.status.pool_status(),
            success_num: entry.counts.success_num,
            failed_num: entry.counts.failed_num,
            skip_num: entry.counts.skip_num,
        }
    }
}

/// Filters of pool tasks.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Maximum number of tasks; default 10.
    #[param(minimum = 0, maximum = 100)]
    limit: Option<i64>,
    /// Only tasks of this pool.
    desktop_pool_id: Option<String>,
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
    /// Only tasks created at or after this time.
    #[param(format = DateTime)]
    execute_time_start: Option<String>,
    /// Only tasks created at or before this time.
    #[param(format = DateTime)]
    execute_time_end: Option<String>,
}

/// List the tasks of pools, newest first.
#[utoipa::path(
    get, path = "/v2/{project_id}/desktop-pools/script-execution-tasks/detail",
    operation_id = "ShowDesktopPoolsScriptExecTasks", tag = "tasks",
    params(Project, OffsetQuery, ListQuery),
    responses((status = 200, description = "One page.", body = PoolTasks)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(offset): Parameters<OffsetQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<PoolTasks>, ApiError> {
    let page = offset.page(POOL_TASKS, query.limit)?;
    let from = query::time("execute_time_start", query.execute_time_start)?;
    let until = query::time("execute_time_end", query.execute_time_end)?;
    let script_id = match query::text(query.script_id).as_deref().map(str::parse) {
        Some(Err(_)) => {
            return Ok(Json(PoolTasks { total_count: 0, script_execution_tasks: Vec::new() }));
        }
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let filter = TaskFilter {
        task_ids: query::ids(query.task_id),
        script_id,
        script_name: query::text(query.script_name),
        statuses: query.status.map(StatusWord::statuses),
        runs_command: query.task_type.map(TaskType::runs_command),
        pool_ids: query::text(query.desktop_pool_id).map(|pool_id| vec![pool_id]),
        has_pool: Some(true),
        before: None,
        from,
        until,
    };
    let (total_count, entries) = control.list_tasks(&caller, Action::ListPoolTasks, &filter, page).await?;
    let script_execution_tasks = entries.into_iter().map(PoolTask::from).collect();
    Ok(Json(PoolTasks { total_count, script_execution_tasks }))
}
