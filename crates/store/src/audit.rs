//! The audit: who did what to what, from where, with which result. Rows are only ever added.

use domain::{Timestamp, ids::ProjectId};
use uuid::Uuid;

use crate::{Connection, Error};

/// An entry about to be stored.
#[derive(Debug, Clone)]
pub struct NewEntry<'a> {
    /// A UUIDv7.
    pub audit_id: Uuid,
    /// Whose.
    pub project_id: &'a ProjectId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub principal: &'a str,
    /// With which credential.
    pub credential: &'a str,
    /// What.
    pub action: &'a str,
    /// To what.
    pub resource: &'a str,
    /// DONE, REFUSED or FAILED.
    pub result: &'a str,
    /// Why it was refused or failed.
    pub reason: &'a str,
    /// From where.
    pub source: &'a str,
    /// Under which request id.
    pub request_id: &'a str,
}

/// An entry as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Its id; a later entry has a greater one.
    pub audit_id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub principal: String,
    /// With which credential.
    pub credential: String,
    /// What.
    pub action: String,
    /// To what.
    pub resource: String,
    /// DONE, REFUSED or FAILED.
    pub result: String,
    /// Why it was refused or failed.
    pub reason: String,
    /// From where.
    pub source: String,
    /// Under which request id.
    pub request_id: String,
}

/// Filters of the list; all exact.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only entries older than this one.
    pub before: Option<Uuid>,
    /// Only of this principal.
    pub principal: Option<String>,
    /// Only of this action.
    pub action: Option<String>,
    /// Only with this result.
    pub result: Option<String>,
    /// Only about this resource.
    pub resource: Option<String>,
}

/// Adds an entry.
pub async fn insert(connection: &mut Connection, entry: &NewEntry<'_>) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO audit (audit_id, project_id, at, principal, credential, action, resource, result, reason, source,
                            request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        entry.audit_id,
        entry.project_id.as_str(),
        entry.at,
        entry.principal,
        entry.credential,
        entry.action,
        entry.resource,
        entry.result,
        entry.reason,
        entry.source,
        entry.request_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Entries of a project, newest first.
pub async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &AuditFilter,
    limit: i64,
) -> Result<Vec<EntryRow>, Error> {
    Ok(sqlx::query_as!(
        EntryRow,
        "SELECT audit_id, at, principal, credential, action, resource, result, reason, source, request_id
         FROM audit
         WHERE project_id = $1 AND ($2::uuid IS NULL OR audit_id < $2) AND ($3::text IS NULL OR principal = $3)
           AND ($4::text IS NULL OR action = $4) AND ($5::text IS NULL OR result = $5)
           AND ($6::text IS NULL OR resource = $6)
         ORDER BY audit_id DESC LIMIT $7",
        project_id.as_str(),
        filter.before,
        filter.principal.as_deref(),
        filter.action.as_deref(),
        filter.result.as_deref(),
        filter.resource.as_deref(),
        limit,
    )
    .fetch_all(connection)
    .await?)
}
