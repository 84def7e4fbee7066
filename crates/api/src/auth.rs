//! Lets a request through that carries a token, or a signature, of the project in its path.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{RawPathParams, Request, State},
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use control::{Control, Credentials, TOKEN_HEADER};
use domain::{
    Error, ErrorKind,
    ids::ProjectId,
    limits,
    signature::{Authorization, SignedRequest},
};

use crate::error::ApiError;

/// What the check needs.
#[derive(Debug, Clone)]
pub(crate) struct Gatekeeper {
    pub(crate) credentials: Credentials,
    pub(crate) control: Control,
}

/// Lets a request through that may act in the project of its path, which it finds as an extension.
pub(crate) async fn check(
    State(gatekeeper): State<Gatekeeper>,
    parameters: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    match admit(&gatekeeper, &parameters, request).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn admit(
    gatekeeper: &Gatekeeper,
    parameters: &RawPathParams,
    request: Request,
) -> Result<Request, ApiError> {
    let (project_id, mut request) = authenticate(gatekeeper, request).await?;
    let asked = parameters.iter().find(|(name, _)| *name == "project_id").map(|(_, value)| value);
    if asked != Some(project_id.as_str()) {
        let message = "the credential does not belong to the project in the path";
        return Err(Error::new(ErrorKind::Forbidden, message).into());
    }
    request.extensions_mut().insert(project_id);
    Ok(request)
}

/// A token wins over a signature: a client that presets one means it.
async fn authenticate(gatekeeper: &Gatekeeper, request: Request) -> Result<(ProjectId, Request), ApiError> {
    if let Some(token) = request.headers().get(TOKEN_HEADER) {
        let project_id = gatekeeper.credentials.check_token(token.as_bytes())?;
        return Ok((project_id, request));
    }
    let unsigned = || {
        let message = "the request carries neither X-Auth-Token nor a signature in Authorization";
        Error::new(ErrorKind::Unauthenticated, message)
    };
    let header =
        request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(unsigned)?;
    let authorization = Authorization::parse(header)?;
    // The signature covers the body, so it is read here, within the limit that its handler has.
    let (parts, body) = request.into_parts();
    let body = read(&parts, body).await?;
    let headers = plain_headers(&parts.headers);
    let signed = SignedRequest {
        method: parts.method.as_str(),
        path: original_path(&parts),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
        body: &body,
    };
    let project_id =
        gatekeeper.credentials.check_signature(&authorization, &signed, gatekeeper.control.now())?;
    Ok((project_id, Request::from_parts(parts, Body::from(body))))
}

async fn read(parts: &Parts, body: Body) -> Result<Bytes, ApiError> {
    let is_execution = original_path(parts).trim_end_matches('/').ends_with("/script-executions");
    let limit = if is_execution { limits::MAX_EXECUTION_BODY_BYTES } else { limits::MAX_BODY_BYTES };
    to_bytes(body, limit).await.map_err(|_| ApiError::body_too_large(limit))
}

/// The path as the client signed it: a nested router sees only its own part.
fn original_path(parts: &Parts) -> &str {
    parts.extensions.get::<axum::extract::OriginalUri>().map_or_else(|| parts.uri.path(), |uri| uri.0.path())
}

fn plain_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}
