//! Interventions: pause and resume a task, approve a wave, freeze and unfreeze the project.

use axum::{Json, extract::Path};
use control::{ApprovedVersion, FreezeRow, finished};
use domain::{Error, Reason, ids::TaskId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{task::NativeTask, tasks::TaskPath, time};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, OptionalBody},
};

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

/// Path parameters with a task id and the number of a wave.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct WavePath {
    /// Task id.
    task_id: String,
    /// Number of the wave, from 1.
    #[param(value_type = u16)]
    wave: String,
}

impl WavePath {
    /// Parses both. A malformed value yields the same error as an unknown task or wave.
    fn ids(&self) -> Result<(TaskId, u16), Error> {
        let missing = |_| Error::new(Reason::WaveNotFound, "the task does not exist, or has no such wave");
        let wave =
            self.wave.parse().map_err(|_| Error::new(Reason::WaveNotFound, "the task has no such wave"))?;
        Ok((self.task_id.parse().map_err(missing)?, wave))
    }
}

/// Plan and scripts that the approver reviewed. Given hashes must match those of the task.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Approval {
    /// Expected `plan_hash` of the task.
    plan_hash: Option<String>,
    /// Expected `script_hash` of the task.
    script_hash: Option<String>,
}

/// Approve a wave that awaits approval. The approval covers only the current plan and scripts.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/tasks/{task_id}/waves/{wave}/approve", operation_id = "ApproveWave",
    tag = "native", params(Project, WavePath), request_body = Option<Approval>,
    responses((status = 200, description = "The current state of the task.", body = NativeTask)),
)]
pub(crate) async fn approve(
    Authorized { control, caller }: Authorized,
    Path(path): Path<WavePath>,
    OptionalBody(approval): OptionalBody<Approval>,
) -> Result<Json<NativeTask>, ApiError> {
    let (task_id, wave) = path.ids()?;
    let seen = ApprovedVersion { plan_hash: approval.plan_hash, script_hash: approval.script_hash };
    let progress = finished(async move {
        control.approve(&caller, task_id, wave, &seen).await?;
        control.task_after(&caller, task_id).await
    })
    .await?;
    Ok(Json(NativeTask::from(progress)))
}

/// Freeze state of the project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Freeze {
    frozen: bool,
    #[schema(format = DateTime)]
    freeze_time: Option<String>,
    frozen_by: Option<String>,
    reason: Option<String>,
}

impl From<Option<FreezeRow>> for Freeze {
    fn from(row: Option<FreezeRow>) -> Self {
        let frozen = row.is_some();
        let (freeze_time, who) = row.map(|row| (time(row.frozen_at), (row.frozen_by, row.reason))).unzip();
        let (frozen_by, reason) = who.unzip();
        Self { frozen, freeze_time, frozen_by, reason }
    }
}

/// Reason of a freeze.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct FreezeRequest {
    /// Reason, shown to all callers while the project is frozen.
    #[schema(max_length = 500)]
    reason: String,
}

/// Show the freeze state of the project.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/freeze", operation_id = "GetFreeze", tag = "native", params(Project),
    responses((status = 200, description = "The freeze state.", body = Freeze)),
)]
pub(crate) async fn show_freeze(
    Authorized { control, caller }: Authorized,
) -> Result<Json<Freeze>, ApiError> {
    Ok(Json(control.show_freeze(&caller).await?.into()))
}

/// Freeze the project: no target of any task is admitted. Running targets continue; new tasks wait.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/freeze", operation_id = "FreezeProject", tag = "native",
    params(Project), request_body = Option<FreezeRequest>,
    responses((status = 200, description = "The project is frozen.", body = Freeze)),
)]
pub(crate) async fn freeze(
    Authorized { control, caller }: Authorized,
    OptionalBody(request): OptionalBody<FreezeRequest>,
) -> Result<Json<Freeze>, ApiError> {
    let frozen = finished(async move {
        control.freeze(&caller, request.reason).await?;
        control.freeze_after(&caller).await
    })
    .await?;
    Ok(Json(frozen.into()))
}

/// Unfreeze the project. Its tasks continue, except paused ones.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/freeze", operation_id = "UnfreezeProject", tag = "native",
    params(Project),
    responses((status = 200, description = "The project is unfrozen.", body = Freeze)),
)]
pub(crate) async fn unfreeze(Authorized { control, caller }: Authorized) -> Result<Json<Freeze>, ApiError> {
    finished(async move { control.unfreeze(&caller).await }).await?;
    Ok(Json(None.into()))
}
