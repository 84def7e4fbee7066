//! The one place that maps a failure to HTTP.
//!
//! The codes are the examples of the published schema, and two of our own where it has none; they are 12 characters,
//! `WKS.` and 8 digits.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// After which a client is asked to try again when something of ours is away.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// The published schema's limit.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    error: Error,
    retry_after: Option<Duration>,
}

/// What a failed response was about, for the audit.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

/// Status and error code of each kind.
const fn status_and_code(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "WKS.00211102"),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "WKS.00211302"),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "WKS.00081102"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "WKS.00211902"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "WKS.00211409"),
        ErrorKind::KeyReused => (StatusCode::CONFLICT, "WKS.00211410"),
        ErrorKind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "WKS.00211429"),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "WKS.00211401"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "WKS.00050902"),
    }
}

/// Every status that any call may answer when it fails, with what it means; for the OpenAPI document.
pub(crate) const FAILURES: [(StatusCode, &str); 10] = [
    (StatusCode::BAD_REQUEST, "The request breaks a rule; the message says which."),
    (StatusCode::UNAUTHORIZED, "No credential, one that is not known, or a signature that does not fit."),
    (StatusCode::FORBIDDEN, "The caller's policies do not allow it, or the project is another's."),
    (StatusCode::NOT_FOUND, "No such thing in this project."),
    (StatusCode::METHOD_NOT_ALLOWED, "The path has no such method."),
    (
        StatusCode::CONFLICT,
        "It contradicts the present state, or its Idempotency-Key was used for another request.",
    ),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "The principal calls too often, or too many tasks have not ended: try again after `Retry-After` seconds.",
    ),
    (StatusCode::INTERNAL_SERVER_ERROR, "A fault of ours; the log has it under the request id."),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "Something that is needed does not answer: try again after `Retry-After` seconds.",
    ),
];

impl ApiError {
    /// No route has this path.
    pub(crate) fn no_such_path() -> Self {
        Error::not_found("no such path: /openapi.json describes the paths there are").into()
    }

    /// The path exists, for other methods.
    pub(crate) fn method_not_allowed() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "WKS.00000405",
            error: Error::invalid("the method is not allowed for this resource"),
            retry_after: None,
        }
    }

    /// The body is larger than its limit.
    pub(crate) fn body_too_large(limit_bytes: usize) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "WKS.00211102",
            error: Error::invalid(format!("the body is larger than {limit_bytes} bytes")),
            retry_after: None,
        }
    }

    /// The caller asks too often.
    pub(crate) fn too_often(wait: Duration) -> Self {
        let error = Error::new(ErrorKind::TooMany, "too many requests: wait as long as Retry-After says");
        Self { retry_after: Some(wait), ..error.into() }
    }

    /// As many requests are under way as may be.
    pub(crate) fn overloaded() -> Self {
        Error::new(ErrorKind::Unavailable, "too many requests are under way; try again later").into()
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let (status, code) = status_and_code(error.kind);
        let helps_later = matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TooMany);
        let retry_after = helps_later.then_some(RETRY_AFTER);
        Self { status, code, error, retry_after }
    }
}

/// What every failed call answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Body {
    /// `WKS.` and eight digits.
    #[schema(min_length = 12, max_length = 12)]
    error_code: &'static str,
    /// What is wrong, and what to do.
    #[schema(max_length = 1000)]
    error_msg: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.error.source {
            let cause: &dyn std::error::Error = &**cause;
            tracing::error!(error = cause, status = self.status.as_u16(), "request failed");
        }
        let error_msg: String = self.error.message.chars().take(MAX_MESSAGE_CHARS).collect();
        let failure = Failure { kind: self.error.kind, message: error_msg.clone() };
        let mut response = (self.status, Json(Body { error_code: self.code, error_msg })).into_response();
        if self.retry_after.is_some() || self.status == StatusCode::PAYLOAD_TOO_LARGE {
            // Much of this is answered before the body was read, and then the connection cannot be used again: a client
            // that is not told would send its next request into it.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: sooner would be too soon.
            let seconds = (wait + Duration::from_millis(999)).as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(failure);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_and_a_code_of_the_published_form() {
        for kind in ErrorKind::ALL {
            let (status, code) = status_and_code(kind);
            assert!(FAILURES.iter().any(|(documented, _)| *documented == status), "{status}");
            assert_eq!(code.len(), 12, "{code}");
            assert!(code.starts_with("WKS.") && code.chars().skip(4).all(|c| c.is_ascii_digit()), "{code}");
        }
    }

    #[test]
    fn the_cause_stays_inside() {
        let error = Error::new(ErrorKind::Internal, "it failed").because("password=secret");
        assert!(!format!("{:?}", ApiError::from(error).into_response()).contains("secret"));
    }

    #[test]
    fn who_is_to_wait_is_told_how_long() {
        let answer = |error: ApiError| error.into_response().headers().get(header::RETRY_AFTER).cloned();
        assert_eq!(answer(ApiError::too_often(Duration::from_millis(1))).unwrap(), "1");
        assert_eq!(answer(ApiError::too_often(Duration::from_millis(1_001))).unwrap(), "2");
        assert_eq!(answer(ApiError::overloaded()).unwrap(), "5");
        assert_eq!(answer(ApiError::no_such_path()), None);
    }
}
