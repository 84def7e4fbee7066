//! ExecuteScriptOrCommand.

use axum::{Extension, Json, extract::State};
use control::Control;
use domain::{Error, ErrorKind, ids::ProjectId, submission::ExecutionRequest};
use serde::{Deserialize, Serialize};

use crate::{body::Body, error::ApiError};

/// The published fields. Others are ignored, as the published service does, except those that would change what
/// runs where: to accept and ignore them would be a lie.
#[derive(Debug, Deserialize)]
pub(crate) struct Execution {
    resource_type: Option<String>,
    resource_ids: Option<Vec<String>>,
    script_ids: Option<Vec<String>>,
    command: Option<String>,
    command_type: Option<String>,
    gray_count: Option<i64>,
    gray_resource_ids: Option<Vec<String>>,
    gray_fail_threshold: Option<i64>,
    execution_timeout: Option<i64>,
    rollout: Option<serde_json::Value>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Accepted {
    task_id: String,
}

pub(crate) async fn execute(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    Body(execution): Body<Execution>,
) -> Result<Json<Accepted>, ApiError> {
    if execution.rollout.is_some() {
        return Err(Error::invalid("rollout is not supported by this version").into());
    }
    let request = ExecutionRequest {
        resource_type: execution.resource_type,
        resource_ids: execution.resource_ids,
        script_ids: execution.script_ids,
        command: execution.command,
        command_type: execution.command_type,
        gray_count: execution.gray_count,
        gray_resource_ids: execution.gray_resource_ids,
        gray_fail_threshold: execution.gray_fail_threshold,
        execution_timeout: execution.execution_timeout,
    };
    // A client that hangs up drops this handler; what it asked for is finished all the same.
    let submitting = tokio::spawn(async move { control.submit(&project_id, request).await });
    let task_id = submitting
        .await
        .map_err(|error| Error::new(ErrorKind::Internal, "the operation failed inside").because(error))??;
    Ok(Json(Accepted { task_id: task_id.to_string() }))
}
