//! Policies: the built-in ones and those of the project.

use axum::{Json, extract::Path, http::StatusCode};
use control::{Actor, finished};
use domain::authz;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, JsonText, Parameters},
    v1::pagination::{self, Name, PageQuery},
};

/// One page of policies.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Policies {
    policies: Vec<NamedPolicy>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// A policy with its name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamedPolicy {
    name: String,
    /// Whether this is a ready policy. Ready policies always exist and cannot be changed.
    ready: bool,
    document: PolicyDocument,
}

/// Policy document: actions allowed or denied on resources, in the format of the published API's
/// identity policies.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[schema(example = json!({"Version": "5.0", "Statement": [
    {"Effect": "Allow", "Action": ["workspace:scripts:*", "workspace:desktops:list*"]},
    {"Effect": "Deny", "Action": ["workspace:scripts:execute"], "Resource": ["desktop:boss-*", "command"]},
]}))]
pub(crate) struct PolicyDocument {
    version: PolicyVersion,
    #[schema(min_items = 1)]
    statement: Vec<PolicyStatement>,
}

/// Version of the document format.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) enum PolicyVersion {
    /// Version 5.0, the only supported version.
    #[serde(rename = "5.0")]
    Five,
}

/// One statement of a policy. An operation is refused unless a statement allows it. A denying
/// statement takes precedence over all allowing ones.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct PolicyStatement {
    effect: PolicyEffect,
    /// Actions, such as `workspace:scripts:execute`. `*` matches any text, `?` matches one
    /// character.
    #[schema(min_items = 1)]
    action: Vec<String>,
    /// Resources, such as `desktop:lab-*`; default all.
    #[schema(min_items = 1, required = false)]
    resource: Vec<String>,
}

/// Effect of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) enum PolicyEffect {
    /// Allows the actions.
    Allow,
    /// Denies the actions.
    Deny,
}

impl From<authz::Policy> for PolicyDocument {
    fn from(policy: authz::Policy) -> Self {
        let statement = |statement: authz::Statement| PolicyStatement {
            effect: match statement.effect {
                authz::Effect::Allow => PolicyEffect::Allow,
                authz::Effect::Deny => PolicyEffect::Deny,
            },
            action: statement.action,
            resource: statement.resource,
        };
        Self {
            version: PolicyVersion::Five,
            statement: policy.statement.into_iter().map(statement).collect(),
        }
    }
}

impl From<(String, authz::Policy)> for NamedPolicy {
    fn from((name, policy): (String, authz::Policy)) -> Self {
        let ready = authz::READY_POLICIES.contains(&name.as_str());
        Self { name, ready, document: policy.into() }
    }
}

/// List policies: the ready ones first, then those of the project by name.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/access/policies", operation_id = "ListPolicies", tag = "native",
    params(Project, PageQuery),
    responses((status = 200, description = "One page.", body = Policies)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Policies>, ApiError> {
    let (size, after) = query.read::<Name>()?;
    let after = after.as_ref().map(|name| name.0.as_str());
    let found = control.list_policies(Actor::Caller(&caller), after, size).await?;
    let next_page_token = pagination::next(&found, size, |(name, _)| name.clone());
    Ok(Json(Policies { policies: found.into_iter().map(NamedPolicy::from).collect(), next_page_token }))
}

/// Path parameter with the name of a policy.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PolicyPath {
    /// Name of the policy.
    #[param(min_length = 1, max_length = 128)]
    name: String,
}

/// Create or replace a policy of the project. The policy applies from the next request on.
#[utoipa::path(
    put, path = "/v1/projects/{project_id}/access/policies/{name}", operation_id = "PutPolicy", tag = "native",
    params(Project, PolicyPath), request_body = PolicyDocument,
    responses((status = 200, description = "The stored policy.", body = NamedPolicy)),
)]
pub(crate) async fn put(
    Authorized { control, caller }: Authorized,
    Path(path): Path<PolicyPath>,
    JsonText(document): JsonText,
) -> Result<Json<NamedPolicy>, ApiError> {
    let stored = finished(async move {
        let policy = control.put_policy(Actor::Caller(&caller), &path.name, &document).await?;
        Ok((path.name, policy))
    })
    .await?;
    Ok(Json(stored.into()))
}

/// Delete a policy that no principal uses.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/access/policies/{name}", operation_id = "DeletePolicy", tag = "native",
    params(Project, PolicyPath),
    responses((status = 204, description = "The policy is deleted.")),
)]
pub(crate) async fn delete(
    Authorized { control, caller }: Authorized,
    Path(path): Path<PolicyPath>,
) -> Result<StatusCode, ApiError> {
    finished(async move { control.delete_policy(Actor::Caller(&caller), &path.name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
