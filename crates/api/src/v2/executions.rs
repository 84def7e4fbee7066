//! ExecuteScriptOrCommand of the compatible family.

use axum::Json;
use control::finished;

use super::Accepted;
use crate::{
    dto::{Execution, Project},
    error::ApiError,
    extract::{Authorized, Body},
};

/// Run scripts or a command on named desktops.
#[utoipa::path(
    post, path = "/v2/{project_id}/script-executions", operation_id = "ExecuteScriptOrCommand", tag = "executions",
    params(Project), request_body = Execution,
    responses((status = 200, description = "The task is stored.", body = Accepted)),
)]
pub(crate) async fn execute(
    Authorized { control, caller }: Authorized,
    Body(execution): Body<Execution>,
) -> Result<Json<Accepted>, ApiError> {
    let request = execution.request()?;
    let task_id = finished(async move { control.submit(&caller, request).await }).await?;
    Ok(Json(Accepted { task_id: task_id.to_string() }))
}
