//! Limits of a project across all its tasks.

use axum::Json;
use control::{ProjectLimits, finished};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body},
};

/// Limits across all tasks of the project; `null` means no limit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Maximum number of targets in flight.
    #[schema(minimum = 1, maximum = 100_000_000)]
    max_in_flight: Option<i64>,
    /// Maximum number of scripts running at the same time on one desktop.
    #[schema(minimum = 1, maximum = 100)]
    max_running_per_desktop: Option<i64>,
    /// Whether calls that read the content of scripts or the output of records are audited. A
    /// request without the field leaves the setting unchanged.
    audit_reads: Option<bool>,
}

impl From<ProjectLimits> for Limits {
    fn from(limits: ProjectLimits) -> Self {
        Self {
            max_in_flight: limits.max_in_flight.map(i64::from),
            max_running_per_desktop: limits.max_running_per_desktop.map(i64::from),
            audit_reads: Some(limits.audit_reads),
        }
    }
}

/// Show the project's limits.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/limits", operation_id = "GetLimits", tag = "native", params(Project),
    responses((status = 200, description = "The limits.", body = Limits)),
)]
pub(crate) async fn show(Authorized { control, caller }: Authorized) -> Result<Json<Limits>, ApiError> {
    Ok(Json(control.show_limits(&caller).await?.into()))
}

/// Replace the project's limits. Targets already in flight are not affected.
#[utoipa::path(
    put, path = "/v1/projects/{project_id}/limits", operation_id = "PutLimits", tag = "native", params(Project),
    request_body = Limits,
    responses((status = 200, description = "The stored limits.", body = Limits)),
)]
pub(crate) async fn put(
    Authorized { control, caller }: Authorized,
    Body(limits): Body<Limits>,
) -> Result<Json<Limits>, ApiError> {
    let Limits { max_in_flight, max_running_per_desktop, audit_reads } = limits;
    let stored = finished(async move {
        control.put_limits(&caller, max_in_flight, max_running_per_desktop, audit_reads).await
    });
    Ok(Json(stored.await?.into()))
}
