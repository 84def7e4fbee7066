//! ExecuteScriptOrCommand of the compatible family.

use control::finished;

use super::{
    Accepted,
    warnings::{AcceptedWithWarnings, accepted},
};
use crate::{
    dto::{Execution, Project},
    error::ApiError,
    extract::{Authorized, Body},
};

/// Run scripts or a command on named desktops.
#[utoipa::path(
    post, path = "/v2/{project_id}/script-executions", operation_id = "ExecuteScriptOrCommand", tag = "executions",
    params(Project), request_body = Execution,
    responses((
        status = 200, description = "The task is stored.", body = Accepted,
        headers(("X-Graywave-Warnings" = String, description = "Codes of warnings about the request, such as \
            `WAVE_WITHOUT_THRESHOLD;wave=2`; absent without any.")),
    )),
)]
pub(crate) async fn execute(
    Authorized { control, caller }: Authorized,
    Body(execution): Body<Execution>,
) -> Result<AcceptedWithWarnings, ApiError> {
    let request = execution.request()?;
    let made = finished(async move {
        let task_id = control.submit(&caller, request).await?;
        Ok(accepted(&control, &caller, task_id).await)
    });
    Ok(made.await?)
}
