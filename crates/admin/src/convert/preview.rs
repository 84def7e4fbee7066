//! Conversion of a task preview.

use control::{Preview, PreviewedWave};
use domain::{
    plan::{Exposure, Uncovered},
    warning::Warning,
};
use proto::{
    Word as _,
    admin::{self, Cleanup, PreviewCanary, PreviewTaskResponse, PreviewWave, UncoveredStratum, WorstCase},
};

use super::{task, value::text};

/// Converts a preview. Desktop ids are optional: those of a very large fleet exceed the message
/// size.
pub(crate) fn response(preview: Preview, with_desktop_ids: bool) -> PreviewTaskResponse {
    let offline = preview.offline_desktops().filter(|_| with_desktop_ids).map(ToString::to_string);
    PreviewTaskResponse {
        target_count: u32::try_from(preview.plan.order.len()).unwrap_or(u32::MAX),
        gray: preview.plan.gray,
        seed: preview.plan.seed,
        plan_hash: hex::encode(preview.plan.hash),
        script_hash: hex::encode(&preview.script_hash),
        waves: preview.waves().map(|one| wave(one, with_desktop_ids)).collect(),
        canaries: preview
            .canaries()
            .map(|(desktop_id, reason)| PreviewCanary {
                desktop_id: desktop_id.to_string(),
                reason: reason.to_owned(),
            })
            .collect(),
        offline_count: u32::try_from(preview.offline.len()).unwrap_or(u32::MAX),
        offline_desktop_ids: offline.collect(),
        worst_case: Some(worst_case(preview.worst_case())),
        uncovered_strata: preview.uncovered.iter().map(stratum).collect(),
        scripts: preview.scripts.into_iter().filter_map(task::script).collect(),
        warnings: warnings(preview.warnings),
        cleanup: Cleanup::number(preview.policy.cleanup.as_str()),
        run_as_user: text(preview.policy.run_as_user),
    }
}

fn wave(wave: PreviewedWave<'_>, with_desktop_ids: bool) -> PreviewWave {
    let desktop_ids = if with_desktop_ids { wave.desktop_ids } else { &[] };
    PreviewWave {
        wave: wave.planned.wave.into(),
        first_ordinal: wave.planned.first_ordinal,
        size: wave.planned.size,
        fail_threshold: text(wave.planned.fail_threshold.map(|threshold| threshold.to_string())),
        needs_approval: wave.needs_approval,
        desktop_ids: desktop_ids.iter().map(ToString::to_string).collect(),
        offline_count: wave.offline,
        worst_case: Some(worst_case(wave.worst_case)),
    }
}

fn worst_case(found: Exposure) -> WorstCase {
    WorstCase { started: found.started, failed: found.failed }
}

/// Converts warnings of a preview or a submission.
pub(crate) fn warnings(found: Vec<Warning>) -> Vec<admin::Warning> {
    let warning = |Warning { code, message, wave }| admin::Warning {
        code: code.to_string(),
        message,
        wave: wave.map(u32::from),
    };
    found.into_iter().map(warning).collect()
}

fn stratum(found: &Uncovered) -> UncoveredStratum {
    UncoveredStratum {
        os_type: found.stratum.os_type.clone(),
        desktop_pool_id: found.stratum.pool_id.clone(),
        availability_zone: found.stratum.availability_zone.clone(),
        desktops: found.desktops,
    }
}
