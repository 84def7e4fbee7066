//! Preview: the plan that a request would make, and nothing else.

use axum::Json;
use control::{Preview, PreviewedWave};
use domain::{
    ids::DesktopId,
    plan::{Exposure, Uncovered},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::task::NativeScript;
use crate::{
    dto::{Execution, Project},
    error::ApiError,
    extract::{Authorized, Body},
};

/// The task that a request would make.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativePreview {
    target_count: u32,
    /// Whether the first wave is a gray wave.
    gray: bool,
    /// What the canaries are drawn with: the same in `rollout.canary.seed` makes the same plan.
    seed: u64,
    /// SHA-256 of the plan, as the task will have it.
    plan_hash: String,
    /// SHA-256 over what would run.
    script_hash: String,
    scripts: Vec<NativeScript>,
    waves: Vec<PreviewWave>,
    /// The members of the gray wave, each with the reason for which it was chosen.
    canaries: Vec<Canary>,
    /// What no canary covers, the largest first.
    uncovered_strata: Vec<UncoveredStratum>,
    /// Desktops that are away now.
    offline: Offline,
    /// Of the whole rollout.
    worst_case: WorstCase,
}

/// A wave that would be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewWave {
    /// From 1.
    wave: u16,
    first_ordinal: u32,
    size: u32,
    /// Failed targets at which the rollout would be halted, like `2` or `2.5%`.
    fail_threshold: Option<String>,
    /// A person would have to approve it.
    needs_approval: bool,
    /// Its members, in the order of the plan.
    desktop_ids: Vec<String>,
    /// Members that are away now.
    offline: u32,
    /// If the rollout is halted in this wave.
    worst_case: WorstCase,
}

/// What may happen at worst.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct WorstCase {
    /// Targets that may have been started.
    started: u32,
    /// Targets that may have failed.
    failed: u32,
}

/// A member of the gray wave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Canary {
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

/// Desktops that are away.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Offline {
    count: usize,
    /// In the order of the plan.
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
        let canary = |(desktop_id, reason): (&DesktopId, &str)| Canary {
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
        }
    }
}

/// Show what a request would do: the whole plan, its worst case and what it does not cover. Nothing is stored or run.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/executions/preview", operation_id = "PreviewExecution", tag = "native",
    params(Project), request_body = Execution,
    responses((status = 200, description = "The task that it would make.", body = NativePreview)),
)]
pub(crate) async fn preview(
    Authorized { control, caller }: Authorized,
    Body(execution): Body<Execution>,
) -> Result<Json<NativePreview>, ApiError> {
    let preview = control.preview(&caller, execution.request()?).await?;
    Ok(Json(NativePreview::from(preview)))
}
