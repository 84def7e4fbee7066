//! The one place that maps a failure to HTTP.
//!
//! The codes are `domain`'s, but for one that only HTTP has.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{Error, ErrorKind, RETRY_AFTER};
use serde::Serialize;
use utoipa::ToSchema;

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

/// Status of each kind.
const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict | ErrorKind::KeyReused => StatusCode::CONFLICT,
        ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
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
            code: ErrorKind::Invalid.code(),
            error: Error::invalid(format!("the body is larger than {limit_bytes} bytes")),
            retry_after: None,
        }
    }

    /// The body did not arrive in time.
    pub(crate) fn body_too_slow(timeout: Duration) -> Self {
        Error::invalid(format!(
            "the body did not arrive within {} s: send all of it at once",
            timeout.as_secs()
        ))
        .into()
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
        let retry_after = error.kind.helps_later().then_some(RETRY_AFTER);
        Self { status: status(error.kind), code: error.kind.code(), error, retry_after }
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
        let error_msg = self.error.told().to_owned();
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
    fn every_kind_has_a_status_that_is_documented() {
        for kind in ErrorKind::ALL {
            let status = status(kind);
            assert!(FAILURES.iter().any(|(documented, _)| *documented == status), "{status}");
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
