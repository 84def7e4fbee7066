//! The audit: actor, action, resource, source and result of every change and refusal. Rows are
//! append-only.

use domain::{Timestamp, ids::ProjectId};
use uuid::Uuid;

use crate::{Connection, Error};

/// An audit entry to insert.
#[derive(Debug, Clone)]
pub struct NewEntry<'a> {
    /// Id of the entry, a UUIDv7.
    pub audit_id: Uuid,
    /// Project that the entry belongs to; `None` for an entry of the cluster.
    pub project_id: Option<&'a ProjectId>,
    /// Time of the call.
    pub at: Timestamp,
    /// Principal that made the call.
    pub principal: &'a str,
    /// Credential in the form `token:ID`, `key:ACCESS_KEY` or `certificate:SERIAL`.
    pub credential: &'a str,
    /// Action, for example `workspace:scripts:execute`.
    pub action: &'a str,
    /// Resource that the action concerns.
    pub resource: &'a str,
    /// `DONE`, `REFUSED` or `FAILED`.
    pub result: &'a str,
    /// Reason of a refusal or failure; empty otherwise.
    pub reason: &'a str,
    /// Address and user agent of the caller.
    pub source: &'a str,
    /// Request id of the call.
    pub request_id: &'a str,
    /// Details as a JSON object; see [`domain::audit`].
    pub details: &'a str,
}

/// An entry in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Id of the entry; later entries have greater ids.
    pub audit_id: Uuid,
    /// Time of the call.
    pub at: Timestamp,
    /// Principal that made the call.
    pub principal: String,
    /// Credential in the form `token:ID`, `key:ACCESS_KEY` or `certificate:SERIAL`.
    pub credential: String,
    /// Action, for example `workspace:scripts:execute`.
    pub action: String,
    /// Resource that the action concerns.
    pub resource: String,
    /// `DONE`, `REFUSED` or `FAILED`.
    pub result: String,
    /// Reason of a refusal or failure; empty otherwise.
    pub reason: String,
    /// Address and user agent of the caller.
    pub source: String,
    /// Request id of the call.
    pub request_id: String,
    /// Details as a JSON object; see [`domain::audit`].
    pub details: String,
}

/// Filters of the list. All of them match exactly.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only entries older than this one.
    pub before: Option<Uuid>,
    /// Only entries of this principal.
    pub principal: Option<String>,
    /// Only entries of this action.
    pub action: Option<String>,
    /// Only entries with this result.
    pub result: Option<String>,
    /// Only entries about this resource.
    pub resource: Option<String>,
}

/// Returns the text of the column `project_id`.
fn owner(project_id: Option<&ProjectId>) -> &str {
    project_id.map_or("", ProjectId::as_str)
}

/// Inserts an entry, which waits for its seal from the commit on.
pub async fn insert(connection: &mut Connection, entry: &NewEntry<'_>) -> Result<(), Error> {
    sqlx::query!(
        "WITH entry AS (
         INSERT INTO audit (audit_id, project_id, at, principal, credential, action, resource, result, reason, source,
                            request_id, details)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::json)
         RETURNING project_id, audit_id)
         INSERT INTO audit_unsealed (project_id, audit_id) SELECT project_id, audit_id FROM entry",
        entry.audit_id,
        owner(entry.project_id),
        entry.at,
        entry.principal,
        entry.credential,
        entry.action,
        entry.resource,
        entry.result,
        entry.reason,
        entry.source,
        entry.request_id,
        entry.details,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lists entries of a project, or of the cluster (`None`), newest first.
pub async fn list(
    connection: &mut Connection,
    project_id: Option<&ProjectId>,
    filter: &AuditFilter,
    limit: i64,
) -> Result<Vec<EntryRow>, Error> {
    Ok(sqlx::query_as!(
        EntryRow,
        r#"SELECT audit_id, at, principal, credential, action, resource, result, reason, source, request_id,
                  details::text AS "details!"
         FROM audit
         WHERE project_id = $1 AND ($2::uuid IS NULL OR audit_id < $2) AND ($3::text IS NULL OR principal = $3)
           AND ($4::text IS NULL OR action = $4) AND ($5::text IS NULL OR result = $5)
           AND ($6::text IS NULL OR resource = $6)
         ORDER BY audit_id DESC LIMIT $7"#,
        owner(project_id),
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
