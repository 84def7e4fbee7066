//! Versions of agents.

use domain::ids::ProjectId;

use crate::{Connection, Error};

/// Lists the different agent versions of a project's desktops in text order, at most `limit`.
///
/// Each version is one step in the index `desktop_by_agent_version`, so the time depends on the
/// number of versions and not of desktops.
pub async fn agent_versions(
    connection: &mut Connection,
    project_id: &ProjectId,
    limit: i64,
) -> Result<Vec<String>, Error> {
    let versions = sqlx::query_scalar!(
        r#"WITH RECURSIVE version AS (
               (SELECT agent_version FROM desktop WHERE project_id = $1 ORDER BY agent_version LIMIT 1)
               UNION ALL
               SELECT (SELECT d.agent_version FROM desktop d
                       WHERE d.project_id = $1 AND d.agent_version > v.agent_version
                       ORDER BY d.agent_version LIMIT 1)
               FROM version v WHERE v.agent_version IS NOT NULL)
           SELECT agent_version AS "agent_version!" FROM version WHERE agent_version IS NOT NULL LIMIT $2"#,
        project_id.as_str(),
        limit,
    );
    Ok(versions.fetch_all(connection).await?)
}
