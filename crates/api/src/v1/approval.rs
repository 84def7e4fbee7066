//! Approve a wave.

use axum::{Json, extract::Path};
use control::{ApprovedVersion, finished};
use domain::{Error, Reason, ids::TaskId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::task::NativeTask;
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, OptionalBody},
};

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

/// What the approver reviewed. Everything that is given must match the task.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Approval {
    /// Expected `plan_hash` of the task.
    plan_hash: Option<String>,
    /// Expected `script_hash` of the task.
    script_hash: Option<String>,
    /// Expected `hold` of the wave: APPROVAL or NO_EVIDENCE. Required if the wave waits for an
    /// approval that the author asked for and also lacks evidence.
    hold: Option<String>,
}

impl Approval {
    fn check(self) -> Result<ApprovedVersion, Error> {
        let hold = self.hold.map(|word| word.parse().map_err(|error: Error| error.within("hold")));
        Ok(ApprovedVersion {
            plan_hash: self.plan_hash,
            script_hash: self.script_hash,
            hold: hold.transpose()?,
        })
    }
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
    let seen = approval.check()?;
    let progress = finished(async move {
        control.approve(&caller, task_id, wave, &seen).await?;
        control.task_after(&caller, task_id).await
    })
    .await?;
    Ok(Json(NativeTask::from(progress)))
}
