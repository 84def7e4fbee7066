//! Bearer tokens of principals.

use axum::{Json, extract::Path, http::StatusCode};
use control::{Actor, CredentialRow, finished};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    NewToken, Secret, ValidityPeriod,
    pagination::{self, PageQuery},
    secret, time,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body, Parameters},
};

/// One page of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokens {
    tokens: Vec<ListedToken>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// A token without its secret. The server stores only a hash of the secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedToken {
    token_id: String,
    #[serde(flatten)]
    life: ValidityPeriod,
}

impl From<CredentialRow> for ListedToken {
    fn from(row: CredentialRow) -> Self {
        Self { life: ValidityPeriod::of(&row), token_id: row.id }
    }
}

/// A created token with its secret. The secret is shown only in this response.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    /// Id of the token in lists and for revocation.
    token_id: String,
    principal: String,
    /// Secret that a client sends in `X-Auth-Token`.
    token: String,
    /// Time at which the token expires; `null` if it does not expire.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
}

/// List tokens, valid or not, oldest first.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/access/tokens", operation_id = "ListTokens", tag = "native",
    params(Project, PageQuery),
    responses((status = 200, description = "One page.", body = Tokens)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Tokens>, ApiError> {
    let (size, after) = query.read()?;
    let found = control.list_tokens(Actor::Caller(&caller), after, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.id.clone());
    Ok(Json(Tokens { tokens: found.into_iter().map(ListedToken::from).collect(), next_page_token }))
}

/// Create a token for a principal.
///
/// The secret is shown only in this response, so the call accepts no `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/access/tokens", operation_id = "CreateToken", tag = "native",
    params(Project), request_body = NewToken,
    responses((status = 200, description = "The token.", body = CreatedToken)),
)]
pub(crate) async fn create(
    Authorized { control, caller }: Authorized,
    Body(request): Body<NewToken>,
) -> Result<Secret<CreatedToken>, ApiError> {
    let (principal, expires_at) = request.terms(control.now())?;
    let made = finished(async move {
        let made = control.create_token(Actor::Caller(&caller), &principal, expires_at).await?;
        Ok(CreatedToken {
            token_id: made.token_id.simple().to_string(),
            principal,
            token: made.token,
            expire_time: expires_at.map(time),
        })
    })
    .await?;
    Ok(secret(made))
}

/// Path parameter with a token id.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TokenPath {
    /// Token id. This is not the secret.
    token_id: String,
}

/// Revoke a token permanently. The next request with it is refused; the token stays in lists.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/access/tokens/{token_id}", operation_id = "DeleteToken",
    tag = "native", params(Project, TokenPath),
    responses((status = 204, description = "The token is revoked.")),
)]
pub(crate) async fn delete(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TokenPath>,
) -> Result<StatusCode, ApiError> {
    finished(async move { control.revoke_token(Actor::Caller(&caller), &path.token_id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
