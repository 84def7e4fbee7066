//! Principals and their policies.

use axum::{Json, extract::Path};
use control::{Actor, PrincipalRow, finished};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    pagination::{self, Name, PageQuery},
    time,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body, Parameters},
};

/// One page of principals.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Principals {
    principals: Vec<Principal>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// A person or service that sends requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Principal {
    principal: String,
    /// Names of the principal's policies.
    policies: Vec<String>,
    #[schema(format = DateTime)]
    create_time: String,
}

impl From<PrincipalRow> for Principal {
    fn from(row: PrincipalRow) -> Self {
        Self { principal: row.principal, policies: row.policies, create_time: time(row.created_at) }
    }
}

/// List the project's principals by name.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/access/principals", operation_id = "ListPrincipals", tag = "native",
    params(Project, PageQuery),
    responses((status = 200, description = "One page.", body = Principals)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Principals>, ApiError> {
    let (size, after) = query.read::<Name>()?;
    let after = after.as_ref().map(|name| name.0.as_str());
    let found = control.list_principals(Actor::Caller(&caller), after, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.principal.clone());
    Ok(Json(Principals { principals: found.into_iter().map(Principal::from).collect(), next_page_token }))
}

/// Path parameter with the name of a principal.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PrincipalPath {
    /// Name of the principal.
    #[param(min_length = 1, max_length = 128)]
    principal: String,
}

/// Policies of a principal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Binding {
    /// Names of ready policies or policies of the project. With an empty list the principal may
    /// do nothing.
    #[schema(max_items = 20)]
    policies: Vec<String>,
}

/// Create a principal, or replace the policies of an existing one.
#[utoipa::path(
    put, path = "/v1/projects/{project_id}/access/principals/{principal}", operation_id = "PutPrincipal",
    tag = "native", params(Project, PrincipalPath), request_body = Binding,
    responses((status = 200, description = "The stored principal.", body = Principal)),
)]
pub(crate) async fn put(
    Authorized { control, caller }: Authorized,
    Path(path): Path<PrincipalPath>,
    Body(binding): Body<Binding>,
) -> Result<Json<Principal>, ApiError> {
    let row = finished(async move {
        control.put_principal(Actor::Caller(&caller), &path.principal, &binding.policies).await
    })
    .await?;
    Ok(Json(row.into()))
}
