//! Projects, their principals and their policies.

use domain::{Timestamp, authz::Policy, ids::ProjectId};
use sqlx::types::Json;

use crate::{Connection, Error, codec::text_id};

/// A project in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// Id of the project.
    pub project_id: ProjectId,
    /// Display name.
    pub name: String,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the revocation; `None` if it is not revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A principal in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalRow {
    /// Name of the principal.
    pub principal: String,
    /// Names of its policies.
    pub policies: Vec<String>,
    /// Creation time.
    pub created_at: Timestamp,
}

/// Stores a project. Returns false if the id exists.
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

/// Lists all projects, oldest first.
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

/// Returns whether a project exists, revoked or not.
pub async fn exists(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found =
        sqlx::query_scalar!("SELECT project_id FROM project WHERE project_id = $1", project_id.as_str())
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// Returns whether a project exists and is not revoked.
pub async fn is_good(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        "SELECT project_id FROM project WHERE project_id = $1 AND revoked_at IS NULL",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Locks a project and returns whether it exists and is not revoked. Other access changes of the
/// project wait until this transaction ends, so that checked state stays valid until the commit.
pub async fn hold(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        "SELECT project_id FROM project WHERE project_id = $1 AND revoked_at IS NULL FOR NO KEY UPDATE",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Returns whether a project exists and is revoked.
pub async fn is_revoked(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        "SELECT project_id FROM project WHERE project_id = $1 AND revoked_at IS NOT NULL",
        project_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.is_some())
}

/// Revokes a project: its credentials are refused from now on. Returns false if it does not exist
/// or is already revoked.
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

/// Accepts a revoked project's credentials again. Returns false if it does not exist or is not
/// revoked.
pub async fn unrevoke(connection: &mut Connection, project_id: &ProjectId) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE project SET revoked_at = NULL WHERE project_id = $1 AND revoked_at IS NOT NULL",
        project_id.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores a principal with its policies, replacing existing ones, and returns the stored principal.
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

/// Lists a project's principals by name, starting after `after`.
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

/// Stores a custom policy of a project, replacing one of the same name.
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

/// Returns a custom policy of a project; `None` if it does not exist.
pub async fn policy(
    connection: &mut Connection,
    project_id: &ProjectId,
    name: &str,
) -> Result<Option<Policy>, Error> {
    let found = sqlx::query_scalar!(
        r#"SELECT document AS "document: Json<Policy>" FROM policy WHERE project_id = $1 AND policy = $2"#,
        project_id.as_str(),
        name,
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|document| document.0))
}

/// Returns the names of a principal's policies; `None` if the principal does not exist.
pub async fn policies_of(
    connection: &mut Connection,
    project_id: &ProjectId,
    principal: &str,
) -> Result<Option<Vec<String>>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT policies FROM principal WHERE project_id = $1 AND principal = $2",
        project_id.as_str(),
        principal,
    )
    .fetch_optional(connection)
    .await?)
}

/// Lists a project's custom policies by name, each as its document, starting after `after`.
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

/// Returns a principal that uses a policy; `None` if the policy is unused.
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

/// Deletes a custom policy of a project. Returns false if it does not exist.
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
