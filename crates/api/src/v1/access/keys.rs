//! Access keys, with which the SDKs sign requests.

use axum::{Json, extract::Path, http::StatusCode};
use control::{Actor, CredentialRow, finished};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    NewCredential, Secret, ValidityPeriod,
    pagination::{self, Name, PageQuery},
    secret, time,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body, Parameters},
};

/// One page of access keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Keys {
    keys: Vec<ListedKey>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// An access key without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedKey {
    access_key: String,
    #[serde(flatten)]
    life: ValidityPeriod,
}

impl From<CredentialRow> for ListedKey {
    fn from(row: CredentialRow) -> Self {
        Self { life: ValidityPeriod::of(&row), access_key: row.id }
    }
}

/// A created access key with its secret. The secret is shown only in this response.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedKey {
    access_key: String,
    principal: String,
    /// Secret that signs requests.
    secret_key: String,
    /// Time at which the key expires; `null` if it does not expire.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
}

/// List access keys, valid or not, in ascending order.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/access/keys", operation_id = "ListKeys", tag = "native",
    params(Project, PageQuery),
    responses((status = 200, description = "One page.", body = Keys)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Keys>, ApiError> {
    let (size, after) = query.read::<Name>()?;
    let after = after.as_ref().map(|name| name.0.as_str());
    let found = control.list_keys(Actor::Caller(&caller), after, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.id.clone());
    Ok(Json(Keys { keys: found.into_iter().map(ListedKey::from).collect(), next_page_token }))
}

/// Create an access key for a principal.
///
/// The secret is shown only in this response, so the call accepts no `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/access/keys", operation_id = "CreateKey", tag = "native",
    params(Project), request_body = NewCredential,
    responses((status = 200, description = "The access key.", body = CreatedKey)),
)]
pub(crate) async fn create(
    Authorized { control, caller }: Authorized,
    Body(request): Body<NewCredential>,
) -> Result<Secret<CreatedKey>, ApiError> {
    let (principal, expires_at) = request.terms()?;
    let made = finished(async move {
        let made = control.create_key(Actor::Caller(&caller), &principal, expires_at).await?;
        Ok(CreatedKey {
            access_key: made.access_key,
            principal,
            secret_key: made.secret_key,
            expire_time: expires_at.map(time),
        })
    })
    .await?;
    Ok(secret(made))
}

/// Path parameter with an access key.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyPath {
    /// Access key.
    access_key: String,
}

/// Revoke an access key permanently. The next request signed with it is refused; the key stays in
/// lists.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/access/keys/{access_key}", operation_id = "DeleteKey",
    tag = "native", params(Project, KeyPath),
    responses((status = 204, description = "The key is revoked.")),
)]
pub(crate) async fn delete(
    Authorized { control, caller }: Authorized,
    Path(path): Path<KeyPath>,
) -> Result<StatusCode, ApiError> {
    finished(async move { control.revoke_key(Actor::Caller(&caller), &path.access_key).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
