//! Preview: the plan of a task, without storing or running anything.

use axum::Json;
use control::{Guardrails, Preview, PreviewedWave};
use domain::{
    ids::DesktopId,
    plan::{Exposure, Uncovered},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    task::NativeScript,
    warning::{NativeWarning, warnings},
};
use crate::{
    dto::{NativeExecution, Project},
    error::ApiError,
    extract::{Authorized, Body},
};

/// The task that the request would create.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativePreview {
    target_count: u32,
    /// Whether the first wave is a gray wave.
    gray: bool,
    /// Seed of the canary selection. The same value in `rollout.canary.seed` produces the same
    /// plan.
    seed: u64,
    /// SHA-256 of the plan; equals `plan_hash` of the task.
    plan_hash: String,
    /// SHA-256 of the scripts or command; equals `script_hash` of the task.
    script_hash: String,
    scripts: Vec<NativeScript>,
    waves: Vec<PreviewWave>,
    /// Members of the gray wave, each with the reason of its selection.
    canaries: Vec<PreviewCanary>,
    /// Strata without a canary, largest first.
    uncovered_strata: Vec<UncoveredStratum>,
    /// Desktops that are offline now.
    offline: Offline,
    /// Worst case of the whole rollout.
    worst_case: WorstCase,
    /// User that runs the scripts; `null` for the one that the agents' configuration names.
    run_as_user: Option<String>,
    /// Treatment of processes that a script leaves behind: `keep` or `kill`.
    cleanup: &'static str,
    /// Facts that the author of the request probably did not mean; empty without any.
    warnings: Vec<NativeWarning>,
}

/// A planned wave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewWave {
    /// Number of the wave, from 1.
    wave: u16,
    first_ordinal: u32,
    size: u32,
    /// Failure threshold of the wave, such as `2`, `2.5%` or `2.5%/50`.
    fail_threshold: Option<String>,
    /// Whether the wave requires an approval.
    needs_approval: bool,
    /// Members in plan order.
    desktop_ids: Vec<String>,
    /// Number of members that are offline now.
    offline: u32,
    /// Worst case if the rollout halts in this wave.
    worst_case: WorstCase,
}

/// Upper bounds of started and failed targets.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct WorstCase {
    /// Maximum number of started targets.
    started: u32,
    /// Maximum number of failed targets.
    failed: u32,
}

/// A member of the gray wave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewCanary {
    desktop_id: String,
    reason: String,
}

/// A stratum without a canary.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UncoveredStratum {
    os_type: String,
    pool_id: String,
    availability_zone: String,
    desktops: u32,
}

/// Offline desktops.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Offline {
    count: usize,
    /// Ids in plan order.
    desktop_ids: Vec<String>,
}

impl From<Exposure> for WorstCase {
    fn from(found: Exposure) -> Self {
        Self { started: found.started, failed: found.failed }
    }
}

impl From<PreviewedWave<'_>> for PreviewWave {
    fn from(wave: PreviewedWave<'_>) -> Self {
        Self {
            wave: wave.planned.wave,
            first_ordinal: wave.planned.first_ordinal,
            size: wave.planned.size,
            fail_threshold: wave.planned.fail_threshold.map(|threshold| threshold.to_string()),
            needs_approval: wave.needs_approval,
            desktop_ids: wave.desktop_ids.iter().map(ToString::to_string).collect(),
            offline: wave.offline,
            worst_case: wave.worst_case.into(),
        }
    }
}

impl From<Preview> for NativePreview {
    fn from(preview: Preview) -> Self {
        let canary = |(desktop_id, reason): (&DesktopId, &str)| PreviewCanary {
            desktop_id: desktop_id.to_string(),
            reason: reason.to_owned(),
        };
        let stratum = |it: Uncovered| UncoveredStratum {
            os_type: it.stratum.os_type,
            pool_id: it.stratum.pool_id,
            availability_zone: it.stratum.availability_zone,
            desktops: it.desktops,
        };
        Self {
            target_count: u32::try_from(preview.plan.order.len()).unwrap_or(u32::MAX),
            gray: preview.plan.gray,
            seed: preview.plan.seed,
            plan_hash: hex::encode(preview.plan.hash),
            script_hash: hex::encode(&preview.script_hash),
            waves: preview.waves().map(PreviewWave::from).collect(),
            canaries: preview.canaries().map(canary).collect(),
            worst_case: preview.worst_case().into(),
            offline: Offline {
                count: preview.offline.len(),
                desktop_ids: preview.offline_desktops().map(ToString::to_string).collect(),
            },
            scripts: preview.scripts.into_iter().filter_map(NativeScript::of).collect(),
            uncovered_strata: preview.uncovered.into_iter().map(stratum).collect(),
            cleanup: preview.policy.cleanup.as_str(),
            run_as_user: preview.policy.run_as_user,
            warnings: warnings(preview.warnings),
        }
    }
}

/// Show the plan and the worst case of a request, without storing or running anything.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/executions/preview", operation_id = "PreviewExecution", tag = "native",
    params(Project), request_body = NativeExecution,
    responses((status = 200, description = "The task that the request would create.", body = NativePreview)),
)]
pub(crate) async fn preview(
    Authorized { control, caller }: Authorized,
    Body(execution): Body<NativeExecution>,
) -> Result<Json<NativePreview>, ApiError> {
    let preview = control.preview(&caller, execution.request()?, Guardrails::Enforced).await?;
    Ok(Json(NativePreview::from(preview)))
}
