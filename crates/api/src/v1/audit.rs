//! The audit log of a project.

use axum::Json;
use control::{AuditFilter, EntryRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    pagination::{self, PageQuery},
    time,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Parameters, query},
};

/// One page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audit {
    entries: Vec<AuditEntry>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// An audit entry: principal, action, resource, source and result of one request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    audit_id: String,
    #[schema(format = DateTime)]
    time: String,
    principal: String,
    /// Credential of the request: `token:ID` or `key:ACCESS_KEY`.
    credential: String,
    action: String,
    /// Resource that the request acted on, or the path of a refused request.
    resource: String,
    #[schema(value_type = AuditResult)]
    result: String,
    /// Reason of the refusal or failure; `null` if the request was done.
    reason: Option<String>,
    /// Client address, `X-Forwarded-For` and user agent.
    source: String,
    request_id: String,
    /// Details of the action: for an execution its scripts, selection and plan, for a changed
    /// object its value before and after; `{}` without any. See docs/audit.md.
    #[schema(value_type = Object)]
    details: Value,
}

/// Result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum AuditResult {
    /// The request was done.
    Done,
    /// The request was not allowed or invalid.
    Refused,
    /// The server failed.
    Failed,
}

impl AuditResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Refused => "REFUSED",
            Self::Failed => "FAILED",
        }
    }
}

impl From<EntryRow> for AuditEntry {
    fn from(row: EntryRow) -> Self {
        Self {
            audit_id: row.audit_id.simple().to_string(),
            time: time(row.at),
            principal: row.principal,
            credential: row.credential,
            action: row.action,
            resource: row.resource,
            result: row.result,
            reason: Some(row.reason).filter(|reason| !reason.is_empty()),
            source: row.source,
            request_id: row.request_id,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
        }
    }
}

/// Filters of the audit.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only entries of this principal.
    principal: Option<String>,
    /// Only entries of this action, such as `workspace:scripts:execute`.
    action: Option<String>,
    /// Only entries with this result.
    result: Option<AuditResult>,
    /// Only entries about this resource, such as `task:ID`.
    resource: Option<String>,
}

/// Read the audit, newest first: all changes and all refused requests.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/audit", operation_id = "ListAudit", tag = "native",
    params(Project, PageQuery, ListQuery),
    responses((status = 200, description = "One page.", body = Audit)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(page): Parameters<PageQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Audit>, ApiError> {
    let (size, last) = page.read()?;
    let filter = AuditFilter {
        before: last,
        principal: query::text(query.principal),
        action: query::text(query.action),
        result: query.result.map(|word| word.as_str().to_owned()),
        resource: query::text(query.resource),
    };
    let found = control.list_audit(&caller, &filter, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.audit_id.simple().to_string());
    Ok(Json(Audit { entries: found.into_iter().map(AuditEntry::from).collect(), next_page_token }))
}
