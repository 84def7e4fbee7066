//! Enrolment tokens, with which machines obtain a desktop certificate.

use std::collections::BTreeMap;

use axum::{Json, extract::Path, http::StatusCode};
use control::{Actor, EnrolmentTerms, EnrolmentTokenRow, finished};
use domain::{
    enrolment::Assignment,
    ids::DesktopId,
    limits::{DEFAULT_ENROLMENT_TOKEN_HOURS, DEFAULT_ENROLMENT_TOKEN_USES},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Secret,
    pagination::{self, PageQuery},
    secret, time,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Body, Parameters},
};

/// Scope and lifetime of a new enrolment token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEnrolmentToken {
    /// The only desktop that may use the token. If omitted, each desktop may that does not exist
    /// yet.
    #[schema(min_length = 1, max_length = 128)]
    desktop_id: Option<String>,
    /// Maximum number of desktops that the token enrols; default 1.
    #[schema(minimum = 1, maximum = 100_000)]
    uses: Option<i64>,
    /// Lifetime of the token in hours; default 24.
    #[schema(minimum = 1, maximum = 720)]
    expires_in_hours: Option<i64>,
    /// Pool of the desktops, which their agents cannot change. If omitted, the agents name it.
    #[schema(min_length = 1, max_length = 256)]
    pool_id: Option<String>,
    /// Availability zone of the desktops. If omitted, the agents name it.
    #[schema(min_length = 1, max_length = 256)]
    availability_zone: Option<String>,
    /// Operator tags of the desktops, which overrule tags of the agents.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// One page of enrolment tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EnrolmentTokens {
    enrolment_tokens: Vec<ListedEnrolmentToken>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// An enrolment token without its secret. The server stores only the secret's
/// public key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedEnrolmentToken {
    token_id: String,
    /// The only desktop that may use the token; `null` for any desktop without a certificate.
    desktop_id: Option<String>,
    /// Pool of its desktops; `null` if the agents name it.
    pool_id: Option<String>,
    /// Availability zone of its desktops; `null` if the agents name it.
    availability_zone: Option<String>,
    /// Operator tags of its desktops.
    tags: BTreeMap<String, String>,
    /// Number of desktops enrolled with the token.
    uses: u32,
    /// Maximum number of desktops that the token enrols.
    max_uses: u32,
    #[schema(format = DateTime)]
    create_time: String,
    /// Time at which the token expires.
    #[schema(format = DateTime)]
    expire_time: String,
    /// Time of revocation; `null` while the token is not revoked.
    #[schema(format = DateTime)]
    revoke_time: Option<String>,
}

impl From<EnrolmentTokenRow> for ListedEnrolmentToken {
    fn from(EnrolmentTokenRow { token_id, token }: EnrolmentTokenRow) -> Self {
        Self {
            token_id: token_id.simple().to_string(),
            desktop_id: token.desktop_id.map(DesktopId::into_string),
            pool_id: token.assignment.pool_id,
            availability_zone: token.assignment.availability_zone,
            tags: token.assignment.tags,
            uses: token.uses,
            max_uses: token.max_uses,
            create_time: time(token.created_at),
            expire_time: time(token.expires_at),
            revoke_time: token.revoked_at.map(time),
        }
    }
}

/// A created enrolment token with its secret. The secret is shown only in this response.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedEnrolmentToken {
    /// Id of the token in lists and for revocation.
    token_id: String,
    /// Secret that the agent reads from a file.
    token: String,
    /// The only desktop that may use the token; `null` for any desktop without a certificate.
    desktop_id: Option<String>,
    /// Maximum number of desktops that the token enrols.
    max_uses: u32,
    /// Time at which the token expires.
    #[schema(format = DateTime)]
    expire_time: String,
}

/// List enrolment tokens, valid or not, oldest first.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/access/enrolment-tokens", operation_id = "ListEnrolmentTokens",
    tag = "native", params(Project, PageQuery),
    responses((status = 200, description = "One page.", body = EnrolmentTokens)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<EnrolmentTokens>, ApiError> {
    let (size, after) = query.read()?;
    let found = control.list_enrolment_tokens(Actor::Caller(&caller), after, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.token_id.simple().to_string());
    let enrolment_tokens = found.into_iter().map(ListedEnrolmentToken::from).collect();
    Ok(Json(EnrolmentTokens { enrolment_tokens, next_page_token }))
}

/// Create an enrolment token.
///
/// The secret is shown only in this response, so the call accepts no `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/access/enrolment-tokens", operation_id = "CreateEnrolmentToken",
    tag = "native", params(Project), request_body = NewEnrolmentToken,
    responses((status = 200, description = "The token.", body = CreatedEnrolmentToken)),
)]
pub(crate) async fn create(
    Authorized { control, caller }: Authorized,
    Body(request): Body<NewEnrolmentToken>,
) -> Result<Secret<CreatedEnrolmentToken>, ApiError> {
    let NewEnrolmentToken { desktop_id, uses, expires_in_hours, pool_id, availability_zone, tags } = request;
    let desktop_id: Option<DesktopId> = desktop_id
        .map(|id| id.parse())
        .transpose()
        .map_err(|error: domain::Error| error.within("desktop_id"))?;
    let made = finished(async move {
        let uses = uses.unwrap_or(DEFAULT_ENROLMENT_TOKEN_USES);
        let expires_in_hours = expires_in_hours.unwrap_or(DEFAULT_ENROLMENT_TOKEN_HOURS);
        let assignment = Assignment { pool_id, availability_zone, tags };
        let terms = EnrolmentTerms { desktop_id, uses, expires_in_hours, assignment };
        let made = control.create_enrolment_token(Actor::Caller(&caller), terms).await?;
        let terms = made.row.token;
        Ok(CreatedEnrolmentToken {
            token_id: made.row.token_id.simple().to_string(),
            token: made.token,
            desktop_id: terms.desktop_id.map(DesktopId::into_string),
            max_uses: terms.max_uses,
            expire_time: time(terms.expires_at),
        })
    })
    .await?;
    Ok(secret(made))
}

/// Path parameter with the id of an enrolment token.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct EnrolmentTokenPath {
    /// Token id. This is not the secret.
    token_id: String,
}

/// Revoke an enrolment token permanently. Desktops enrolled with it keep their certificates.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/access/enrolment-tokens/{token_id}",
    operation_id = "DeleteEnrolmentToken", tag = "native", params(Project, EnrolmentTokenPath),
    responses((status = 204, description = "The token is revoked.")),
)]
pub(crate) async fn delete(
    Authorized { control, caller }: Authorized,
    Path(path): Path<EnrolmentTokenPath>,
) -> Result<StatusCode, ApiError> {
    let work = async move { control.revoke_enrolment_token(Actor::Caller(&caller), &path.token_id).await };
    finished(work).await?;
    Ok(StatusCode::NO_CONTENT)
}
