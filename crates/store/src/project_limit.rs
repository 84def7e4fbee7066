//! Limits over all tasks of a project: targets in flight, scripts per desktop, and the freeze.

use domain::{Timestamp, ids::ProjectId};
use serde::Serialize;

use crate::{
    Connection, Error,
    codec::{count, int2, int4},
};

/// The limits of a project.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ProjectLimits {
    /// Maximum number of targets in flight over all its tasks; `None` without a limit.
    pub max_in_flight: Option<u32>,
    /// Maximum number of scripts that one desktop runs at the same time; `None` without a limit.
    pub max_running_per_desktop: Option<u16>,
    /// Whether calls that read the content of scripts or the output of records are audited.
    pub audit_reads: bool,
}

/// Reads the limits of a project.
pub async fn fetch(connection: &mut Connection, project_id: &ProjectId) -> Result<ProjectLimits, Error> {
    let row = sqlx::query!(
        "SELECT max_in_flight, max_running_per_desktop, audit_reads FROM project_limit WHERE project_id = $1",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(ProjectLimits::default()) };
    Ok(ProjectLimits {
        max_in_flight: row.max_in_flight.map(|most| count("project_limit", most)).transpose()?,
        max_running_per_desktop: row
            .max_running_per_desktop
            .map(|most| count("project_limit", most))
            .transpose()?,
        audit_reads: row.audit_reads,
    })
}

/// Locks and reads the limits of a project, until the caller commits.
pub async fn lock(connection: &mut Connection, project_id: &ProjectId) -> Result<ProjectLimits, Error> {
    // A row without limits means the same as a missing row, and can be locked.
    sqlx::query!(
        "INSERT INTO project_limit (project_id) VALUES ($1)
         ON CONFLICT (project_id) DO UPDATE SET project_id = excluded.project_id",
        project_id.as_str()
    )
    .execute(&mut *connection)
    .await?;
    fetch(connection, project_id).await
}

/// Sets the limits of a project.
pub async fn put(
    connection: &mut Connection,
    project_id: &ProjectId,
    limits: ProjectLimits,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO project_limit (project_id, max_in_flight, max_running_per_desktop, audit_reads)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (project_id) DO UPDATE SET max_in_flight = excluded.max_in_flight,
             max_running_per_desktop = excluded.max_running_per_desktop, audit_reads = excluded.audit_reads",
        project_id.as_str(),
        limits.max_in_flight.map(int4),
        limits.max_running_per_desktop.map(int2),
        limits.audit_reads,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns whether a project audits its reads.
pub async fn audits_reads(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        "SELECT audit_reads FROM project_limit WHERE project_id = $1",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.unwrap_or_default())
}

/// Returns how many more targets a project's tasks may have in flight; `None` without a limit.
/// Locks the limits until the caller commits, so that two tasks never take the same slot.
pub async fn lock_room(connection: &mut Connection, project_id: &ProjectId) -> Result<Option<u32>, Error> {
    let most = sqlx::query_scalar!(
        "SELECT max_in_flight FROM project_limit WHERE project_id = $1 FOR UPDATE",
        project_id.as_str()
    )
    .fetch_optional(&mut *connection)
    .await?
    .flatten();
    let Some(most) = most else { return Ok(None) };
    let in_flight = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(w.admitted - w.waiting - (SELECT sum(n) FROM unnest(w.target_tally) AS n)), 0)::int8 AS "in_flight!"
           FROM task k JOIN wave w USING (task_id)
           WHERE k.project_id = $1 AND k.status IN ('WAITING', 'RUNNING', 'HALTING', 'STOPPING')
             AND w.status <> 'PENDING'"#,
        project_id.as_str()
    )
    .fetch_one(connection)
    .await?;
    Ok(Some(u32::try_from((i64::from(most) - in_flight).max(0)).unwrap_or(u32::MAX)))
}

/// A freeze of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeRow {
    /// Time of the freeze.
    pub frozen_at: Timestamp,
    /// Principal that froze the project.
    pub frozen_by: String,
    /// Reason that the principal gave.
    pub reason: String,
}

/// Returns the freeze of a project; `None` if it is not frozen.
pub async fn freeze(connection: &mut Connection, project_id: &ProjectId) -> Result<Option<FreezeRow>, Error> {
    Ok(sqlx::query_as!(
        FreezeRow,
        "SELECT frozen_at, frozen_by, reason FROM project_freeze WHERE project_id = $1",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?)
}

/// Freezes a project. Returns false, without a change, if it is already frozen.
pub async fn set_frozen(
    connection: &mut Connection,
    project_id: &ProjectId,
    freeze: &FreezeRow,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "INSERT INTO project_freeze (project_id, frozen_at, frozen_by, reason) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        project_id.as_str(),
        freeze.frozen_at,
        freeze.frozen_by,
        freeze.reason,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Locks a project's freeze until the transaction ends. Returns false if the project is not frozen.
pub(crate) async fn lock_freeze(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        "SELECT project_id FROM project_freeze WHERE project_id = $1 FOR UPDATE",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Unfreezes a project. Returns false if it was not frozen.
pub(crate) async fn set_unfrozen(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let done = sqlx::query!("DELETE FROM project_freeze WHERE project_id = $1", project_id.as_str())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}
