//! Submission of a task; the response is the task.

use axum::Json;
use control::finished;

use super::warning::SubmittedTask;
use crate::{
    dto::{NativeExecution, Project},
    error::ApiError,
    extract::{Authorized, Body},
};

/// Run scripts or a command on named desktops, on those of a pool, or on those with a tag.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/executions", operation_id = "CreateExecution", tag = "native",
    params(Project), request_body = NativeExecution,
    responses((status = 200, description = "The stored task.", body = SubmittedTask)),
)]
pub(crate) async fn create(
    Authorized { control, caller }: Authorized,
    Body(execution): Body<NativeExecution>,
) -> Result<Json<SubmittedTask>, ApiError> {
    let request = execution.request()?;
    let (progress, warnings) = finished(async move {
        let task_id = control.submit(&caller, request).await?;
        let warnings = control.warnings_after(&caller, task_id).await?;
        Ok::<_, domain::Error>((control.task_after(&caller, task_id).await?, warnings))
    })
    .await?;
    Ok(Json(SubmittedTask::new(progress, warnings)))
}
