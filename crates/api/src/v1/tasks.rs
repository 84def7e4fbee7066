//! Tasks: list, show, stop, retry.

use axum::{Json, extract::Path};
use control::{StopMode, TaskFilter, finished};
use domain::{Error, ids::TaskId, submission::TaskOrRecord, task::TaskStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    pagination::{self, PageQuery},
    task::NativeTask,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body, OptionalBody, Parameters},
};

/// One page of tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeTasks {
    tasks: Vec<NativeTask>,
    /// `null` on the last page.
    next_page_token: Option<String>,
}

/// Which tasks are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only with one of these: WAITING, RUNNING, HALTING, STOPPING, SUCCESS, FAILED, HALTED, STOPPED.
    status: Vec<String>,
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
        before: last,
        statuses: (!statuses.is_empty()).then_some(statuses),
        ..TaskFilter::default()
    };
    let found = control.page_tasks(&caller, &filter, size).await?;
    let next_page_token = pagination::next(&found, size, |progress| progress.task.task_id.to_string());
    Ok(Json(NativeTasks { tasks: found.into_iter().map(NativeTask::from).collect(), next_page_token }))
}

/// One task in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TaskPath {
    /// The task.
    task_id: String,
}

impl TaskPath {
    /// Its id.
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

/// What becomes of what runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// It runs to its end.
    Drain,
    /// It is ended.
    #[default]
    Kill,
}

/// How to stop.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct StopRequest {
    /// `kill` when it is left out.
    mode: Mode,
}

/// Stop a task: nothing more of it is begun.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/stop", operation_id = "StopTask", tag = "native",
    params(Project, TaskPath), request_body = Option<StopRequest>,
    responses((status = 200, description = "The task as it now stands.", body = NativeTask)),
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

/// Run again what of a task did not succeed.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/retry", operation_id = "RetryTask", tag = "native",
    params(Project, TaskPath),
    responses((status = 200, description = "The new task; the old one is kept.", body = NativeTask)),
)]
pub(crate) async fn retry(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
) -> Result<Json<NativeTask>, ApiError> {
    let old_id = path.id()?;
    let progress = finished(async move {
        let task_id = control.retry(&caller, TaskOrRecord::Task(old_id)).await?;
        control.task_after(&caller, task_id).await
    })
    .await?;
    Ok(Json(NativeTask::from(progress)))
}

/// How many targets may be in flight.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ConcurrencyRequest {
    /// `null`, or left out: as many as the waves have.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_concurrency: Option<i64>,
}

/// Change how many targets of a task may be in flight, while it runs.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/concurrency", operation_id = "SetConcurrency",
    tag = "native", params(Project, TaskPath), request_body = ConcurrencyRequest,
    responses((status = 200, description = "The task as it now stands.", body = NativeTask)),
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
