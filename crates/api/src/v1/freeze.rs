//! Freeze and unfreeze the project.

use axum::Json;
use control::{Caller, FreezeRow, finished};
use domain::justification::Justification;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time;
use crate::{
    dto::{Project, non_empty},
    error::ApiError,
    extract::{Authorized, OptionalBody},
    names::Names,
};

/// Freeze state of the project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Freeze {
    frozen: bool,
    #[schema(format = DateTime)]
    freeze_time: Option<String>,
    frozen_by: Option<String>,
    reason: Option<String>,
    /// Id of a ticket; `null` without one.
    ticket: Option<String>,
}

impl From<Option<FreezeRow>> for Freeze {
    fn from(row: Option<FreezeRow>) -> Self {
        let frozen = row.is_some();
        let Some(row) = row else {
            return Self { frozen, freeze_time: None, frozen_by: None, reason: None, ticket: None };
        };
        Self {
            frozen,
            freeze_time: Some(time(row.frozen_at)),
            frozen_by: Some(row.frozen_by),
            reason: Some(row.reason),
            ticket: non_empty(row.ticket),
        }
    }
}

/// Reason of a freeze.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct FreezeRequest {
    /// Reason, shown to all callers while the project is frozen; default the header
    /// `X-Graywave-Reason`.
    #[schema(max_length = 500)]
    reason: String,
}

impl FreezeRequest {
    /// Returns the caller with the reason of the body, if it has one.
    fn justified(self, caller: Caller) -> Result<Caller, ApiError> {
        if self.reason.is_empty() {
            return Ok(caller);
        }
        let justification = Justification::new(&self.reason, caller.justification.ticket());
        let justification = justification.map_err(|error| ApiError::with_names(error, Names::Verbatim))?;
        Ok(Caller { justification, ..caller })
    }
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
    let caller = request.justified(caller)?;
    let frozen = finished(async move {
        control.freeze(&caller).await?;
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
