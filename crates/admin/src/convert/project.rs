//! Conversions of the project service between proto and domain.

use control::{FreezeRow, LimitsChange, ProjectLimits, ProjectRow};
use domain::BasisPoints;
use proto::{
    admin::{Freeze, Limits, Project},
    time,
};

pub(crate) fn freeze(row: Option<FreezeRow>) -> Freeze {
    row.map_or_else(Freeze::default, |row| Freeze {
        frozen: true,
        freeze_time: time(Some(row.frozen_at)),
        frozen_by: row.frozen_by,
        reason: row.reason,
        ticket: row.ticket,
    })
}

pub(crate) fn limits(limits: ProjectLimits) -> Limits {
    Limits {
        max_in_flight: limits.max_in_flight.map(i64::from),
        max_running_per_desktop: limits.max_running_per_desktop.map(i64::from),
        audit_reads: limits.audit_reads.then_some(true),
        require_canary_above: limits.guardrails.require_canary_above.map(i64::from),
        require_threshold: limits.guardrails.require_threshold.then_some(true),
        max_wave_percent: limits.guardrails.max_wave_percent.map(BasisPoints::percent),
        require_reason: limits.guardrails.require_reason.then_some(true),
        require_approval_above: limits.guardrails.require_approval_above.map(i64::from),
    }
}

/// Converts the limits that `is_taken` selects by name to a change.
pub(crate) fn limits_change(wanted: &Limits, is_taken: impl Fn(&str) -> bool) -> LimitsChange {
    let flag = |name: &str, value: Option<bool>| is_taken(name).then(|| value.unwrap_or_default());
    let number = |name: &str, value: Option<i64>| is_taken(name).then_some(value);
    LimitsChange {
        max_in_flight: number("max_in_flight", wanted.max_in_flight),
        max_running_per_desktop: number("max_running_per_desktop", wanted.max_running_per_desktop),
        audit_reads: flag("audit_reads", wanted.audit_reads),
        require_canary_above: number("require_canary_above", wanted.require_canary_above),
        require_threshold: flag("require_threshold", wanted.require_threshold),
        max_wave_percent: is_taken("max_wave_percent").then_some(wanted.max_wave_percent),
        require_reason: flag("require_reason", wanted.require_reason),
        require_approval_above: number("require_approval_above", wanted.require_approval_above),
    }
}

pub(crate) fn project(row: ProjectRow) -> Project {
    Project {
        project_id: row.project_id.into_string(),
        name: row.name,
        create_time: time(Some(row.created_at)),
        revoke_time: time(row.revoked_at),
    }
}
