//! Maps an error to its HTTP response: status, `error_code` and `error_msg`.
//!
//! Status and code depend on the reason and the field of the error, never on its message.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    Error, ErrorKind, RETRY_AFTER, Reason,
    error::{MAX_ERROR_MESSAGE_CHARS, cut},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::names::Names;

/// An error before its conversion to a response.
#[derive(Debug)]
pub(crate) struct ApiError {
    error: Error,
    names: Names,
    retry_after: Option<Duration>,
}

/// Kind and message of a failed response, for the audit.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

/// HTTP status of a reason.
const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Reason::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        other => match other.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict | ErrorKind::KeyReused => StatusCode::CONFLICT,
            ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        },
    }
}

/// Statuses of failed requests with their meaning, for the OpenAPI document.
pub(crate) const FAILURES: [(StatusCode, &str); 10] = [
    (StatusCode::BAD_REQUEST, "The request is invalid; `error_msg` names the field and the rule."),
    (StatusCode::UNAUTHORIZED, "The credential is missing or unknown, or the signature does not match."),
    (
        StatusCode::FORBIDDEN,
        "The caller's policies do not allow the operation, or the project is not the caller's.",
    ),
    (StatusCode::NOT_FOUND, "The resource does not exist in this project."),
    (StatusCode::METHOD_NOT_ALLOWED, "The path does not support this method."),
    (
        StatusCode::CONFLICT,
        "The request conflicts with the current state, or its Idempotency-Key belongs to another request.",
    ),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body exceeds its size limit."),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "The principal exceeds its rate, or too many tasks are open. Retry after `Retry-After` seconds.",
    ),
    (StatusCode::INTERNAL_SERVER_ERROR, "Internal error. The server log has the cause under the request id."),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "The server is overloaded or a dependency does not answer. Retry after `Retry-After` seconds.",
    ),
];

impl ApiError {
    /// Creates an error whose field is shown under the names of one family.
    pub(crate) fn with_names(error: Error, names: Names) -> Self {
        let retry_after = error.kind().is_temporary().then_some(RETRY_AFTER);
        Self { error, names, retry_after }
    }

    /// Error for a path without a route.
    pub(crate) fn no_such_path() -> Self {
        Error::new(Reason::PathNotFound, "no such path; /openapi.json lists all paths").into()
    }

    /// Error for a known path with an unsupported method.
    pub(crate) fn method_not_allowed() -> Self {
        Error::new(Reason::MethodNotAllowed, "the path does not support this method").into()
    }

    /// Error for a body above its limit in bytes.
    pub(crate) fn body_too_large(limit_bytes: usize) -> Self {
        let message = format!("the body exceeds the limit of {limit_bytes} bytes");
        Error::new(Reason::RequestTooLarge, message).into()
    }

    /// Error for a body that did not arrive within its timeout.
    pub(crate) fn body_too_slow(timeout: Duration) -> Self {
        let seconds = timeout.as_secs();
        let message =
            format!("the body did not arrive within {seconds} s; send the whole body without pauses");
        Error::new(Reason::RequestTooSlow, message).into()
    }

    /// Error for a caller above its rate. `wait` becomes the header `Retry-After`.
    pub(crate) fn rate_limited(wait: Duration) -> Self {
        let message = "too many requests; retry after the seconds in the header Retry-After";
        Self { retry_after: Some(wait), ..Error::new(Reason::RateLimited, message).into() }
    }

    /// Error for a server at its limit of concurrent requests.
    pub(crate) fn overloaded() -> Self {
        let message = "too many requests in progress; retry after the seconds in the header Retry-After";
        Error::new(Reason::Overloaded, message).into()
    }

    /// Message that begins with the field, under the name that the caller knows.
    fn text(&self) -> String {
        let field = self.error.field.as_ref().and_then(|field| self.names.of(field));
        self.error.text(field.as_deref())
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::with_names(error, Names::Native)
    }
}

/// Message for the client: within the published length, with a link to the reason at its end.
fn linked(text: &str, reason: Reason) -> String {
    let link = format!(" (see {})", reason.anchor());
    let room = MAX_ERROR_MESSAGE_CHARS.saturating_sub(link.chars().count());
    format!("{}{link}", cut(text, room))
}

/// Body of every failed request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Body {
    /// `WKS.` and eight digits.
    #[schema(min_length = 12, max_length = 12)]
    error_code: &'static str,
    /// Cause and fix. Begins with the field, if any, and ends with a link to the reason.
    #[schema(max_length = 1000)]
    error_msg: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (reason, status) = (self.error.reason, status(self.error.reason));
        if let Some(cause) = &self.error.source {
            let cause: &dyn std::error::Error = &**cause;
            tracing::error!(error = cause, status = status.as_u16(), "request failed");
        }
        let text = self.text();
        let body = Body { error_code: reason.code(), error_msg: linked(&text, reason) };
        let message = cut(&text, MAX_ERROR_MESSAGE_CHARS).to_owned();
        let mut response = (status, Json(body)).into_response();
        if self.retry_after.is_some() || status == StatusCode::PAYLOAD_TOO_LARGE {
            // Such responses are often sent before the body is read. The connection is then
            // unusable, and without this header the client would send its next request into it.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: a shorter wait would be refused again.
            let seconds = (wait + Duration::from_millis(999)).as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Failure { kind: reason.kind(), message });
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status and body of the response.
    async fn answer(error: ApiError) -> (StatusCode, serde_json::Value) {
        let response = error.into_response();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn every_reason_is_mapped_without_its_message() {
        for &reason in Reason::ALL {
            let error = Error::new(reason, "x").with_source("password=secret");
            let (code, body) = answer(error.into()).await;
            assert_eq!(code, status(reason));
            assert!(FAILURES.iter().any(|(documented, _)| *documented == code), "{code}");
            let link = format!("x (see docs/errors.md#{})", reason.as_str());
            assert_eq!(body, serde_json::json!({"error_code": reason.code(), "error_msg": link}));
        }
    }

    #[tokio::test]
    async fn every_reason_with_a_field_has_the_name_of_the_body() {
        for &reason in Reason::ALL {
            let error = |names| ApiError::with_names(Error::field(reason, "desktop_ids", "x"), names);
            let text = async |names| answer(error(names)).await.1["error_msg"].as_str().unwrap().to_owned();
            assert!(text(Names::Native).await.starts_with("resource_ids: x (see "));
            assert!(text(Names::Group).await.starts_with("desktop_ids: x (see "));
        }
    }

    #[test]
    fn long_message_keeps_its_link() {
        let text = linked(&"ü".repeat(50_000), Reason::FieldInvalid);
        assert_eq!(text.chars().count(), MAX_ERROR_MESSAGE_CHARS);
        assert!(text.ends_with("#FIELD_INVALID)"), "{text}");
    }

    #[test]
    fn who_is_to_wait_is_told_how_long() {
        let answer = |error: ApiError| error.into_response().headers().get(header::RETRY_AFTER).cloned();
        assert_eq!(answer(ApiError::rate_limited(Duration::from_millis(1))).unwrap(), "1");
        assert_eq!(answer(ApiError::rate_limited(Duration::from_millis(1_001))).unwrap(), "2");
        assert_eq!(answer(ApiError::overloaded()).unwrap(), "5");
        assert_eq!(answer(ApiError::no_such_path()), None);
    }
}
