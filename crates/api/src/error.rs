//! The one place that maps a failure to HTTP: status, `error_code` and the text of `error_msg`.
//!
//! All of them derive from the reason and the field of the error, never from its message.

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

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct ApiError {
    error: Error,
    names: Names,
    retry_after: Option<Duration>,
}

/// What a failed response was about, for the audit.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

/// Status of each reason.
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
    /// A failure whose field has the names of a call.
    pub(crate) fn with_names(error: Error, names: Names) -> Self {
        let retry_after = error.kind().is_temporary().then_some(RETRY_AFTER);
        Self { error, names, retry_after }
    }

    /// No route has this path.
    pub(crate) fn no_such_path() -> Self {
        Error::new(Reason::PathNotFound, "no such path: /openapi.json lists the paths").into()
    }

    /// The path exists, for other methods.
    pub(crate) fn method_not_allowed() -> Self {
        Error::new(Reason::MethodNotAllowed, "the path does not support this method").into()
    }

    /// The body is larger than its limit.
    pub(crate) fn body_too_large(limit_bytes: usize) -> Self {
        let message = format!("the body is larger than {limit_bytes} bytes");
        Error::new(Reason::RequestTooLarge, message).into()
    }

    /// The body did not arrive in time.
    pub(crate) fn body_too_slow(timeout: Duration) -> Self {
        let seconds = timeout.as_secs();
        let message = format!("the body did not arrive within {seconds} s: send all of it at once");
        Error::new(Reason::RequestTooSlow, message).into()
    }

    /// The caller exceeds its rate.
    pub(crate) fn rate_limited(wait: Duration) -> Self {
        let message = "too many requests: wait as long as Retry-After says";
        Self { retry_after: Some(wait), ..Error::new(Reason::RateLimited, message).into() }
    }

    /// The server handles as many requests as it can.
    pub(crate) fn overloaded() -> Self {
        let message = "too many requests are in progress; try again later";
        Error::new(Reason::Overloaded, message).into()
    }

    /// The message, with the caller's name of the field in front.
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

/// The message as the client reads it: within the published limit, with a link to the reason at its end.
fn linked(text: &str, reason: Reason) -> String {
    let link = format!(" (see {})", reason.anchor());
    let room = MAX_ERROR_MESSAGE_CHARS.saturating_sub(link.chars().count());
    format!("{}{link}", cut(text, room))
}

/// What every failed call answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Body {
    /// `WKS.` and eight digits.
    #[schema(min_length = 12, max_length = 12)]
    error_code: &'static str,
    /// What is wrong and what to do. It begins with the field, where it is about one, and ends with a link to the reason.
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
            // Much of this is answered before the body was read, and then the connection cannot be used again: a client
            // that is not told would send its next request into it.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: sooner would be too soon.
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

    /// Status and body of the answer.
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
