//! Tasks: list, show, stop and retry.

use axum::{Json, extract::Path};
use control::{StopMode, TaskFilter, finished};
use domain::{Error, ids::TaskId, submission::TaskOrRecord, task::TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    pagination::{self, PageQuery},
    task::NativeTask,
    warning::SubmittedTask,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body, OptionalBody, Parameters, query},
};

/// One page of tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeTasks {
    tasks: Vec<NativeTask>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// Filters of tasks.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only tasks with one of these statuses: WAITING, RUNNING, HALTING, STOPPING, SUCCESS, FAILED,
    /// HALTED, STOPPED.
    status: Vec<String>,
    /// Only tasks whose reason contains this text, in any case of letters.
    reason: Option<String>,
    /// Only tasks with this ticket.
    ticket: Option<String>,
}

/// List tasks, newest first.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks", operation_id = "ListTasks", tag = "native",
    params(Project, PageQuery, ListQuery),
    responses((status = 200, description = "One page.", body = NativeTasks)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(page): Parameters<PageQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<NativeTasks>, ApiError> {
    let (size, last) = page.read()?;
    let statuses = query.status.iter().map(|word| word.parse()).collect::<Result<Vec<TaskStatus>, Error>>();
    let statuses = statuses.map_err(|error| error.within("status"))?;
    let filter = TaskFilter {
        reason: query::text(query.reason),
        ticket: query::text(query.ticket),
        before: last,
        statuses: (!statuses.is_empty()).then_some(statuses),
        ..TaskFilter::default()
    };
    let found = control.page_tasks(&caller, &filter, size).await?;
    let next_page_token = pagination::next(&found, size, |progress| progress.task.task_id.to_string());
    Ok(Json(NativeTasks { tasks: found.into_iter().map(NativeTask::from).collect(), next_page_token }))
}

/// Path parameter with a task id.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TaskPath {
    /// Task id.
    task_id: String,
}

impl TaskPath {
    /// Parses the id. A malformed id yields the same error as an unknown task.
    pub(crate) fn id(&self) -> Result<TaskId, Error> {
        TaskId::find(&self.task_id)
    }
}

/// Show a task with its waves.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}", operation_id = "GetTask", tag = "native",
    params(Project, TaskPath),
    responses((status = 200, description = "The task.", body = NativeTask)),
)]
pub(crate) async fn show(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
) -> Result<Json<NativeTask>, ApiError> {
    Ok(Json(NativeTask::from(control.show_task(&caller, path.id()?).await?)))
}

/// Treatment of running scripts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Running scripts run to their end.
    Drain,
    /// Running scripts are killed.
    #[default]
    Kill,
}

/// Mode of a stop.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct StopRequest {
    /// Treatment of running scripts; default `kill`.
    mode: Mode,
}

/// Stop a task: no further target starts.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/stop", operation_id = "StopTask", tag = "native",
    params(Project, TaskPath), request_body = Option<StopRequest>,
    responses((status = 200, description = "The current state of the task.", body = NativeTask)),
)]
pub(crate) async fn stop(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    OptionalBody(request): OptionalBody<StopRequest>,
) -> Result<Json<NativeTask>, ApiError> {
    let task_id = path.id()?;
    let mode = match request.mode {
        Mode::Drain => StopMode::Drain,
        Mode::Kill => StopMode::Kill,
    };
    let progress = finished(async move {
        control.stop(&caller, TaskOrRecord::Task(task_id), mode).await?;
        control.task_after(&caller, task_id).await
    })
    .await?;
    Ok(Json(NativeTask::from(progress)))
}

/// Retry the targets of a task that did not succeed.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/retry", operation_id = "RetryTask", tag = "native",
    params(Project, TaskPath),
    responses((status = 200, description = "The new task. The original task is kept.", body = SubmittedTask)),
)]
pub(crate) async fn retry(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
) -> Result<Json<SubmittedTask>, ApiError> {
    let old_id = path.id()?;
    let (progress, warnings) = finished(async move {
        let task_id = control.retry(&caller, TaskOrRecord::Task(old_id)).await?;
        let warnings = control.warnings_after(&caller, task_id).await?;
        Ok::<_, domain::Error>((control.task_after(&caller, task_id).await?, warnings))
    })
    .await?;
    Ok(Json(SubmittedTask::new(progress, warnings)))
}

/// Limit of targets in flight.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ConcurrencyRequest {
    /// Maximum number of targets in flight; if `null` or omitted, only the waves limit the number.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_concurrency: Option<i64>,
}

/// Change the maximum number of targets in flight while the task runs.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/concurrency", operation_id = "SetConcurrency",
    tag = "native", params(Project, TaskPath), request_body = ConcurrencyRequest,
    responses((status = 200, description = "The current state of the task.", body = NativeTask)),
)]
pub(crate) async fn set_concurrency(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Body(request): Body<ConcurrencyRequest>,
) -> Result<Json<NativeTask>, ApiError> {
    let task_id = path.id()?;
    let progress = finished(async move {
        control.set_concurrency(&caller, task_id, request.max_concurrency).await?;
        control.task_after(&caller, task_id).await
    })
    .await?;
    Ok(Json(NativeTask::from(progress)))
}
