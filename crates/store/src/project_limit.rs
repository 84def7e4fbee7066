//! Limits over all tasks of a project: targets in flight, scripts per desktop, and the freeze.

use domain::{BasisPoints, Timestamp, guardrails::Guardrails, ids::ProjectId};
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
    /// Requirements of new tasks.
    #[serde(flatten)]
    pub guardrails: Guardrails,
}

/// Reads the limits of a project.
pub async fn fetch(connection: &mut Connection, project_id: &ProjectId) -> Result<ProjectLimits, Error> {
    let row = sqlx::query!(
        "SELECT max_in_flight, max_running_per_desktop, audit_reads, require_canary_above, require_threshold,
                max_wave_basis_points, require_reason, require_approval_above
         FROM project_limit WHERE project_id = $1",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(ProjectLimits::default()) };
    let number = |most: Option<i32>| most.map(|most| count::<u32>("project_limit", most)).transpose();
    let guardrails = Guardrails {
        require_canary_above: number(row.require_canary_above)?,
        require_threshold: row.require_threshold,
        max_wave_percent: number(row.max_wave_basis_points)?.and_then(BasisPoints::new),
        require_reason: row.require_reason,
        require_approval_above: number(row.require_approval_above)?,
    };
    Ok(ProjectLimits {
        max_in_flight: row.max_in_flight.map(|most| count("project_limit", most)).transpose()?,
        max_running_per_desktop: row
            .max_running_per_desktop
            .map(|most| count("project_limit", most))
            .transpose()?,
        audit_reads: row.audit_reads,
        guardrails,
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
    let guardrails = limits.guardrails;
    sqlx::query!(
        "INSERT INTO project_limit (project_id, max_in_flight, max_running_per_desktop, audit_reads,
             require_canary_above, require_threshold, max_wave_basis_points, require_reason, require_approval_above)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (project_id) DO UPDATE SET max_in_flight = excluded.max_in_flight,
             max_running_per_desktop = excluded.max_running_per_desktop, audit_reads = excluded.audit_reads,
             require_canary_above = excluded.require_canary_above, require_threshold = excluded.require_threshold,
             max_wave_basis_points = excluded.max_wave_basis_points, require_reason = excluded.require_reason,
             require_approval_above = excluded.require_approval_above",
        project_id.as_str(),
        limits.max_in_flight.map(int4),
        limits.max_running_per_desktop.map(int2),
        limits.audit_reads,
        guardrails.require_canary_above.map(int4),
        guardrails.require_threshold,
        guardrails.max_wave_percent.map(|share| int4(share.get())),
        guardrails.require_reason,
        guardrails.require_approval_above.map(int4),
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
    /// Reason that the principal gave; empty without one.
    pub reason: String,
    /// Ticket that the principal gave; empty without one.
    pub ticket: String,
}

/// Returns the freeze of a project; `None` if it is not frozen.
pub async fn freeze(connection: &mut Connection, project_id: &ProjectId) -> Result<Option<FreezeRow>, Error> {
    Ok(sqlx::query_as!(
        FreezeRow,
        "SELECT frozen_at, frozen_by, reason, ticket FROM project_freeze WHERE project_id = $1",
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
        "INSERT INTO project_freeze (project_id, frozen_at, frozen_by, reason, ticket)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
        project_id.as_str(),
        freeze.frozen_at,
        freeze.frozen_by,
        freeze.reason,
        freeze.ticket,
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
