//! The one place that maps a failure to HTTP.
//!
//! The codes are the examples of the published schema; they are 12 characters, `WKS.` and 8 digits.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{Error, ErrorKind};
use serde::Serialize;

/// Seconds after which a client is asked to try again.
const RETRY_AFTER_SECONDS: u64 = 5;
/// The published schema's limit.
const MAX_MESSAGE_CHARS: usize = 1_000;

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    error: Error,
}

/// Status and error code of each kind.
const fn status_and_code(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "WKS.00211102"),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "WKS.00211302"),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "WKS.00081102"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "WKS.00211902"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "WKS.00211409"),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "WKS.00211401"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "WKS.00050902"),
    }
}

impl ApiError {
    /// No route has this path.
    pub(crate) fn no_such_path() -> Self {
        Error::not_found("no such path: see docs/api.md for the paths there are").into()
    }

    /// The path exists, for other methods.
    pub(crate) fn method_not_allowed() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "WKS.00000405",
            error: Error::invalid("the method is not allowed for this resource"),
        }
    }

    /// The body is larger than its limit.
    pub(crate) fn body_too_large(limit_bytes: usize) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "WKS.00211102",
            error: Error::invalid(format!("the body is larger than {limit_bytes} bytes")),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let (status, code) = status_and_code(error.kind);
        Self { status, code, error }
    }
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    error_code: &'static str,
    error_msg: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Some(cause) = &self.error.source {
            let cause: &dyn std::error::Error = &**cause;
            tracing::error!(error = cause, status = self.status.as_u16(), "request failed");
        }
        let shortened: String = self.error.message.chars().take(MAX_MESSAGE_CHARS).collect();
        let body = Body { error_code: self.code, error_msg: &shortened };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
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
            assert!(status.is_client_error() || status.is_server_error());
            assert_eq!(code.len(), 12, "{code}");
            assert!(code.starts_with("WKS.") && code.chars().skip(4).all(|c| c.is_ascii_digit()), "{code}");
        }
    }

    #[test]
    fn the_cause_stays_inside() {
        let error = Error::new(ErrorKind::Internal, "it failed").because("password=secret");
        assert!(!format!("{:?}", ApiError::from(error).into_response()).contains("secret"));
    }
}
