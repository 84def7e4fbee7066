//! Operator changes of desktops: tags, retirement and unretirement.

use domain::{
    Timestamp,
    ids::{DesktopId, ProjectId, WorkerId},
    tags::Tags,
};
use sqlx::types::Json;

use super::columns;
use crate::{Connection, Error, codec::text_id};

/// The tags of a desktop, by source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredTags {
    /// Tags that its agent reports.
    pub agents: Tags,
    /// Tags that operators set.
    pub operators: Tags,
}

/// Locks and returns the tags of a desktop; `None` if the desktop is unknown.
pub async fn lock_tags(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
) -> Result<Option<StoredTags>, Error> {
    let row = sqlx::query!(
        r#"SELECT agent_tags AS "agents: Json<Tags>", operator_tags AS "operators: Json<Tags>" FROM desktop
           WHERE project_id = $1 AND desktop_id = $2 FOR UPDATE"#,
        project_id.as_str(),
        desktop_id.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| StoredTags { agents: row.agents.0, operators: row.operators.0 }))
}

/// Stores the operator tags of a desktop, and the effective tags.
pub async fn put_operator_tags(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
    operators: &Tags,
    effective: &Tags,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE desktop SET operator_tags = $3, tags = $4 WHERE project_id = $1 AND desktop_id = $2",
        project_id.as_str(),
        desktop_id.as_str(),
        Json(operators) as _,
        Json(effective) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Retires a desktop and clears its presence. A retired desktop keeps its first retirement. Returns
/// false if the desktop is unknown. Revoke its certificates with
/// [`crate::enrolment::revoke_desktop`].
pub async fn retire(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
    by: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let row = sqlx::query!(
        "UPDATE desktop SET retired_at = coalesce(retired_at, $3), retired_by = coalesce(retired_by, $4)
         WHERE project_id = $1 AND desktop_id = $2 RETURNING worker_id",
        project_id.as_str(),
        desktop_id.as_str(),
        now,
        by,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(false) };
    if let Some(worker_id) = row.worker_id {
        let worker_id = text_id("desktop", worker_id)?;
        let desktop = (project_id.clone(), desktop_id.clone());
        disconnect(connection, &worker_id, &[desktop], now).await?;
    }
    Ok(true)
}

/// Returns a desktop to service. Returns false if the desktop is unknown.
pub async fn unretire(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE desktop SET retired_at = NULL, retired_by = NULL WHERE project_id = $1 AND desktop_id = $2",
        project_id.as_str(),
        desktop_id.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns the retired desktops among the given ones.
pub async fn retired_among(
    connection: &mut Connection,
    desktops: &[(ProjectId, DesktopId)],
) -> Result<Vec<(ProjectId, DesktopId)>, Error> {
    let (project_ids, desktop_ids) = columns(desktops);
    let rows = sqlx::query!(
        "SELECT d.project_id, d.desktop_id
         FROM unnest($1::text[], $2::text[]) AS asked (project_id, desktop_id)
         JOIN desktop d USING (project_id, desktop_id) WHERE d.retired_at IS NOT NULL",
        &project_ids,
        &desktop_ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok((text_id("desktop", row.project_id)?, text_id("desktop", row.desktop_id)?)))
        .collect()
}

/// Clears the presence of desktops that a worker holds, and marks their connections for closing by
/// that worker. The mark covers connections that use the last presented certificate, or no
/// certificate.
pub async fn disconnect(
    connection: &mut Connection,
    worker_id: &WorkerId,
    desktops: &[(ProjectId, DesktopId)],
    now: Timestamp,
) -> Result<(), Error> {
    let (project_ids, desktop_ids) = columns(desktops);
    sqlx::query!(
        "UPDATE desktop d SET worker_id = NULL, presence_at = $3,
                              revoked_worker_id = d.worker_id, revoked_serial = coalesce(d.certificate_serial, ''),
                              revoked_at = CASE WHEN d.certificate_serial IS NOT NULL THEN coalesce(d.revoked_at, $3) END
         FROM (SELECT d.project_id, d.desktop_id
               FROM desktop d JOIN unnest($1::text[], $2::text[]) AS revoked (project_id, desktop_id)
                   USING (project_id, desktop_id)
               WHERE d.worker_id = $4 ORDER BY project_id, desktop_id FOR UPDATE OF d) AS held
         WHERE d.project_id = held.project_id AND d.desktop_id = held.desktop_id",
        &project_ids,
        &desktop_ids,
        now,
        worker_id.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
