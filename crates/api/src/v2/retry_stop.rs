//! RetryScriptExecution and StopScriptExecution.

use axum::http::StatusCode;
use control::{StopMode, finished};
use domain::{Error, submission::TaskOrRecord};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Accepted,
    warnings::{AcceptedWithWarnings, accepted},
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body},
};

/// A task or one of its records. Exactly one of the two fields is required.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TaskOrRecordRequest {
    record_id: Option<String>,
    task_id: Option<String>,
}

impl TaskOrRecordRequest {
    fn aim(&self) -> Result<TaskOrRecord, Error> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        TaskOrRecord::new(given(&self.task_id).as_deref(), given(&self.record_id).as_deref())
    }
}

/// Retry the targets of a task that did not succeed, or one record.
#[utoipa::path(
    post, path = "/v2/{project_id}/script-executions/retry", operation_id = "RetryScriptExecution",
    tag = "executions", params(Project), request_body = TaskOrRecordRequest,
    responses((
        status = 200, description = "The new task is stored. The original task is kept.", body = Accepted,
        headers(("X-Graywave-Warnings" = String, description = "Codes of warnings about the request, such as \
            `WAVE_WITHOUT_THRESHOLD;wave=2`; absent without any.")),
    )),
)]
pub(crate) async fn retry(
    Authorized { control, caller }: Authorized,
    Body(request): Body<TaskOrRecordRequest>,
) -> Result<AcceptedWithWarnings, ApiError> {
    let aim = request.aim()?;
    let made = finished(async move {
        let task_id = control.retry(&caller, aim).await?;
        Ok(accepted(&control, &caller, task_id).await)
    });
    Ok(made.await?)
}

/// Stop a task or a record: no further target starts, and running scripts are killed.
#[utoipa::path(
    post, path = "/v2/{project_id}/script-executions/stop", operation_id = "StopScriptExecution",
    tag = "executions", params(Project), request_body = TaskOrRecordRequest,
    responses((status = 200, description = "The stop is stored.")),
)]
pub(crate) async fn stop(
    Authorized { control, caller }: Authorized,
    Body(request): Body<TaskOrRecordRequest>,
) -> Result<StatusCode, ApiError> {
    let aim = request.aim()?;
    finished(async move { control.stop(&caller, aim, StopMode::Kill).await }).await?;
    Ok(StatusCode::OK)
}
