//! Projects, their principals and their policies.

use domain::{Timestamp, authz::Policy, ids::ProjectId};
use sqlx::types::Json;

use crate::{Connection, Error, codec::text_id};

/// A project as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// Its id.
    pub project_id: ProjectId,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when its credentials are refused.
    pub revoked_at: Option<Timestamp>,
}

/// A principal as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalRow {
    /// Its name.
    pub principal: String,
    /// Names of its policies.
    pub policies: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Stores a project; false when there is one of this id.
pub async fn insert(
    connection: &mut Connection,
    project_id: &ProjectId,
    name: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "INSERT INTO project (project_id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        project_id.as_str(),
        name,
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// All projects, oldest first.
pub async fn list(connection: &mut Connection) -> Result<Vec<ProjectRow>, Error> {
    let rows = sqlx::query!(
        "SELECT project_id, name, created_at, revoked_at FROM project ORDER BY created_at, project_id"
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ProjectRow {
                project_id: text_id("project", row.project_id)?,
                name: row.name,
                created_at: row.created_at,
                revoked_at: row.revoked_at,
            })
        })
        .collect()
}

/// Whether there is such a project, revoked or not.
pub async fn exists(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found =
        sqlx::query_scalar!("SELECT project_id FROM project WHERE project_id = $1", project_id.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// Whether there is such a project that is not revoked.
pub async fn is_good(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        "SELECT project_id FROM project WHERE project_id = $1 AND revoked_at IS NULL",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Whether there is such a project that is not revoked; others who manage it wait until this transaction ends, so that
/// what one of them looked at is still so when it commits.
pub async fn hold(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        "SELECT project_id FROM project WHERE project_id = $1 AND revoked_at IS NULL FOR NO KEY UPDATE",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Whether there is such a project and it is revoked.
pub async fn is_revoked(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        "SELECT project_id FROM project WHERE project_id = $1 AND revoked_at IS NOT NULL",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Revokes a project: its credentials are refused from now on. False when there is none that is good.
pub async fn revoke(
    connection: &mut Connection,
    project_id: &ProjectId,
    now: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE project SET revoked_at = $2 WHERE project_id = $1 AND revoked_at IS NULL",
        project_id.as_str(),
        now
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Accepts a revoked project's credentials again; false when there is no such project that is revoked.
pub async fn unrevoke(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE project SET revoked_at = NULL WHERE project_id = $1 AND revoked_at IS NOT NULL",
        project_id.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores a principal with its policies, replacing those that it had, and returns it as it now is.
pub async fn put_principal(
    connection: &mut Connection,
    project_id: &ProjectId,
    principal: &str,
    policies: &[String],
    now: Timestamp,
) -> Result<PrincipalRow, Error> {
    Ok(sqlx::query_as!(
        PrincipalRow,
        "INSERT INTO principal (project_id, principal, policies, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (project_id, principal) DO UPDATE SET policies = excluded.policies
         RETURNING principal, policies, created_at",
        project_id.as_str(),
        principal,
        policies,
        now,
    )
    .fetch_one(connection)
    .await?)
}

/// A project's principals by name, from behind `after` on.
pub async fn list_principals(
    connection: &mut Connection,
    project_id: &ProjectId,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<PrincipalRow>, Error> {
    Ok(sqlx::query_as!(
        PrincipalRow,
        "SELECT principal, policies, created_at FROM principal
         WHERE project_id = $1 AND ($2::text IS NULL OR principal > $2) ORDER BY principal LIMIT $3",
        project_id.as_str(),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// Stores a policy of a project's own, replacing one of the same name.
pub async fn put_policy(
    connection: &mut Connection,
    project_id: &ProjectId,
    name: &str,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), Error> {
    let document = serde_json::to_value(policy).map_err(|error| Error::corrupt("policy", error))?;
    sqlx::query!(
        "INSERT INTO policy (project_id, policy, document, updated_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (project_id, policy) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at",
        project_id.as_str(),
        name,
        document,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A project's own policies by name, each as its document, from behind `after` on.
pub async fn list_policies(
    connection: &mut Connection,
    project_id: &ProjectId,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<(String, Policy)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT policy, document AS "document: Json<Policy>" FROM policy
           WHERE project_id = $1 AND ($2::text IS NULL OR policy > $2) ORDER BY policy LIMIT $3"#,
        project_id.as_str(),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.policy, row.document.0)).collect())
}

/// A principal that has a policy, if one does.
pub async fn policy_holder(
    connection: &mut Connection,
    project_id: &ProjectId,
    name: &str,
) -> Result<Option<String>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT principal FROM principal WHERE project_id = $1 AND $2 = ANY(policies) ORDER BY principal LIMIT 1",
        project_id.as_str(),
        name,
    )
    .fetch_optional(connection)
    .await?)
}

/// Deletes a policy of a project's own; false when there is none.
pub async fn delete_policy(
    connection: &mut Connection,
    project_id: &ProjectId,
    name: &str,
) -> Result<bool, Error> {
    let done =
        sqlx::query!("DELETE FROM policy WHERE project_id = $1 AND policy = $2", project_id.as_str(), name,)
            .execute(connection)
            .await?;
    Ok(done.rows_affected() == 1)
}
