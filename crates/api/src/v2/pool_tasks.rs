//! ShowDesktopPoolsScriptExecTasks: tasks that were submitted for a pool. Its status values differ
//! from those of its own filter; both are as published.

use axum::Json;
use control::{Selection, TaskEntry, TaskFilter};
use domain::{authz::Action, page::POOL_TASKS};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{task_query::TaskQuery, tasks::TaskScript, time};
use crate::{
    dto::{OffsetQuery, Project, ScriptType},
    error::ApiError,
    extract::{Authorized, Parameters, query},
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

/// Limit and pool of the tasks.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Maximum number of tasks; default 10.
    #[param(minimum = 0, maximum = 100)]
    limit: Option<i64>,
    /// Only tasks of this pool.
    desktop_pool_id: Option<String>,
}

/// List the tasks of pools, newest first.
#[utoipa::path(
    get, path = "/v2/{project_id}/desktop-pools/script-execution-tasks/detail",
    operation_id = "ShowDesktopPoolsScriptExecTasks", tag = "tasks",
    params(Project, OffsetQuery, TaskQuery, ListQuery),
    responses((status = 200, description = "One page.", body = PoolTasks)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(offset): Parameters<OffsetQuery>,
    Parameters(tasks): Parameters<TaskQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<PoolTasks>, ApiError> {
    let page = offset.page(POOL_TASKS, query.limit)?;
    let Some(filter) = tasks.filter()? else {
        return Ok(Json(PoolTasks { total_count: 0, script_execution_tasks: Vec::new() }));
    };
    let pool_ids = query::text(query.desktop_pool_id).map(|pool_id| vec![pool_id]);
    let filter = TaskFilter { pool_ids, has_pool: Some(true), ..filter };
    let (total_count, entries) = control.list_tasks(&caller, Action::ListPoolTasks, &filter, page).await?;
    let script_execution_tasks = entries.into_iter().map(PoolTask::from).collect();
    Ok(Json(PoolTasks { total_count, script_execution_tasks }))
}
