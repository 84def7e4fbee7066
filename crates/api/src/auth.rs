//! Lets a request through that carries a token of the project in its path.

use axum::{
    extract::{RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use control::{TOKEN_HEADER, Tokens};
use domain::{Error, ErrorKind, ids::ProjectId};

use crate::error::ApiError;

/// Lets a request through that may act in the project of its path, which it finds as an extension.
pub(crate) async fn check(
    State(tokens): State<Tokens>,
    parameters: RawPathParams,
    mut request: Request,
    next: Next,
) -> Response {
    match authorize(&tokens, request.headers(), &parameters) {
        Ok(project_id) => {
            request.extensions_mut().insert(project_id);
            next.run(request).await
        }
        Err(error) => ApiError::from(error).into_response(),
    }
}

fn authorize(tokens: &Tokens, headers: &HeaderMap, parameters: &RawPathParams) -> Result<ProjectId, Error> {
    let project_id = tokens.authenticate(headers.get(TOKEN_HEADER).map(HeaderValue::as_bytes))?;
    let asked = parameters.iter().find(|(name, _)| *name == "project_id").map(|(_, value)| value);
    if asked != Some(project_id.as_str()) {
        return Err(Error::new(ErrorKind::Forbidden, "the token does not belong to the project in the path"));
    }
    Ok(project_id)
}
