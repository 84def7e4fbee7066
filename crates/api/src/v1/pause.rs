//! Pause and resume a task.

use axum::{Json, extract::Path};
use control::finished;

use super::{task::NativeTask, tasks::TaskPath};
use crate::{dto::Project, error::ApiError, extract::Authorized};

/// Pause a task. No further target is admitted; running targets continue. Its deadlines pause, too.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/pause", operation_id = "PauseTask", tag = "native",
    params(Project, TaskPath),
    responses((status = 200, description = "The current state of the task.", body = NativeTask)),
)]
pub(crate) async fn pause(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
) -> Result<Json<NativeTask>, ApiError> {
    let task_id = path.id()?;
    let progress = finished(async move {
        control.pause(&caller, task_id).await?;
        control.task_after(&caller, task_id).await
    })
    .await?;
    Ok(Json(NativeTask::from(progress)))
}

/// Resume a paused task.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/resume", operation_id = "ResumeTask", tag = "native",
    params(Project, TaskPath),
    responses((status = 200, description = "The current state of the task.", body = NativeTask)),
)]
pub(crate) async fn resume(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
) -> Result<Json<NativeTask>, ApiError> {
    let task_id = path.id()?;
    let progress = finished(async move {
        control.resume(&caller, task_id).await?;
        control.task_after(&caller, task_id).await
    })
    .await?;
    Ok(Json(NativeTask::from(progress)))
}
