//! Policies: the ready ones and the project's own.

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
    /// `null` on the last page.
    next_page_token: Option<String>,
}

/// A policy under its name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamedPolicy {
    name: String,
    /// It is always there, and cannot be changed.
    ready: bool,
    document: PolicyDocument,
}

/// What may be done to what, in the form of the published API's identity policies.
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

/// The version of the form.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) enum PolicyVersion {
    /// There is one.
    #[serde(rename = "5.0")]
    Five,
}

/// One rule. What none allows is refused, and one that denies wins over all that allow.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct PolicyStatement {
    effect: PolicyEffect,
    /// Words of actions, like `workspace:scripts:execute`; `*` stands for any text, `?` for one character.
    #[schema(min_items = 1)]
    action: Vec<String>,
    /// Names of resources, like `desktop:lab-*`; all when it is left out.
    #[schema(min_items = 1, required = false)]
    resource: Vec<String>,
}

/// What a rule does.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) enum PolicyEffect {
    /// It allows.
    Allow,
    /// It denies.
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

/// List the policies that may bind principals: the ready ones, then the project's own by name.
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

/// A policy in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PolicyPath {
    /// The policy's name.
    #[param(min_length = 1, max_length = 128)]
    name: String,
}

/// Store a policy of the project's own, replacing one of this name. It binds from the next call on.
#[utoipa::path(
    put, path = "/v1/projects/{project_id}/access/policies/{name}", operation_id = "PutPolicy", tag = "native",
    params(Project, PolicyPath), request_body = PolicyDocument,
    responses((status = 200, description = "The policy as it now is.", body = NamedPolicy)),
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

/// Delete a policy that no principal has.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/access/policies/{name}", operation_id = "DeletePolicy", tag = "native",
    params(Project, PolicyPath),
    responses((status = 204, description = "It was deleted.")),
)]
pub(crate) async fn delete(
    Authorized { control, caller }: Authorized,
    Path(path): Path<PolicyPath>,
) -> Result<StatusCode, ApiError> {
    finished(async move { control.delete_policy(Actor::Caller(&caller), &path.name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
