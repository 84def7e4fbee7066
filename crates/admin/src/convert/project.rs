//! Conversions of the project service between proto and domain.

use control::{FreezeRow, ProjectLimits, ProjectRow};
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
    })
}

pub(crate) fn limits(limits: ProjectLimits) -> Limits {
    Limits {
        max_in_flight: limits.max_in_flight.map(i64::from),
        max_running_per_desktop: limits.max_running_per_desktop.map(i64::from),
        audit_reads: limits.audit_reads.then_some(true),
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
