//! What enrolments fix of desktops.

use domain::{
    enrolment::Assignment,
    ids::{DesktopId, ProjectId},
};

use crate::{Connection, Error};

/// Stores what an enrolment fixes of a desktop, also in the row of an existing desktop.
pub async fn assign(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
    assignment: &Assignment,
) -> Result<(), Error> {
    let Assignment { pool_id, availability_zone, tags } = assignment;
    sqlx::query!(
        "INSERT INTO desktop_assignment (project_id, desktop_id, pool_id, availability_zone, tags)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (project_id, desktop_id) DO UPDATE SET
             pool_id = coalesce(excluded.pool_id, desktop_assignment.pool_id),
             availability_zone = coalesce(excluded.availability_zone, desktop_assignment.availability_zone),
             tags = desktop_assignment.tags || excluded.tags",
        project_id.as_str(),
        desktop_id.as_str(),
        pool_id.as_deref(),
        availability_zone.as_deref(),
        serde_json::json!(tags),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE desktop SET pool_id = coalesce($3, pool_id), availability_zone = coalesce($4, availability_zone),
                            operator_tags = operator_tags || $5, tags = tags || $5
         WHERE project_id = $1 AND desktop_id = $2",
        project_id.as_str(),
        desktop_id.as_str(),
        pool_id.as_deref(),
        availability_zone.as_deref(),
        serde_json::json!(tags),
    )
    .execute(connection)
    .await?;
    Ok(())
}
