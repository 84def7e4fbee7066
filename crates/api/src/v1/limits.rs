//! Limits of a project across all its tasks, and its guardrails.

use axum::Json;
use control::{LimitsChange, ProjectLimits, finished};
use domain::BasisPoints;
use serde::{Deserialize, Deserializer, Serialize};
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
    /// Guardrail: maximum number of desktops in the first wave, so that larger tasks begin with a
    /// gray wave. A request without a guardrail leaves it unchanged; `null` removes it.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000)]
    require_canary_above: Option<Option<i64>>,
    /// Guardrail: every wave of a task on several desktops needs a failure threshold that it can
    /// reach, of its own or of the task.
    require_threshold: Option<bool>,
    /// Guardrail: maximum share of a task's desktops in one wave, in percent with at most two
    /// decimals. A wave of one desktop is always allowed.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, maximum = 100)]
    max_wave_percent: Option<Option<f64>>,
    /// Guardrail: every execution and retry needs a reason.
    require_reason: Option<bool>,
    /// Guardrail: maximum number of desktops that start before the first wave with an approval.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1_000_000)]
    require_approval_above: Option<Option<i64>>,
}

/// Parses a field that is given, and distinguishes `null` from a missing field.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl From<Limits> for LimitsChange {
    fn from(limits: Limits) -> Self {
        Self {
            max_in_flight: Some(limits.max_in_flight),
            max_running_per_desktop: Some(limits.max_running_per_desktop),
            audit_reads: limits.audit_reads,
            require_canary_above: limits.require_canary_above,
            require_threshold: limits.require_threshold,
            max_wave_percent: limits.max_wave_percent,
            require_reason: limits.require_reason,
            require_approval_above: limits.require_approval_above,
        }
    }
}

impl From<ProjectLimits> for Limits {
    fn from(limits: ProjectLimits) -> Self {
        Self {
            max_in_flight: limits.max_in_flight.map(i64::from),
            max_running_per_desktop: limits.max_running_per_desktop.map(i64::from),
            audit_reads: Some(limits.audit_reads),
            require_canary_above: Some(limits.guardrails.require_canary_above.map(i64::from)),
            require_threshold: Some(limits.guardrails.require_threshold),
            max_wave_percent: Some(limits.guardrails.max_wave_percent.map(BasisPoints::percent)),
            require_reason: Some(limits.guardrails.require_reason),
            require_approval_above: Some(limits.guardrails.require_approval_above.map(i64::from)),
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

/// Replace the project's limits. Targets in flight are not affected, nor are tasks by a guardrail.
#[utoipa::path(
    put, path = "/v1/projects/{project_id}/limits", operation_id = "PutLimits", tag = "native", params(Project),
    request_body = Limits,
    responses((status = 200, description = "The stored limits.", body = Limits)),
)]
pub(crate) async fn put(
    Authorized { control, caller }: Authorized,
    Body(limits): Body<Limits>,
) -> Result<Json<Limits>, ApiError> {
    let stored = finished(async move { control.update_limits(&caller, limits.into()).await });
    Ok(Json(stored.await?.into()))
}
