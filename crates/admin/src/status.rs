//! Maps an error to its gRPC status: a code, a message for people, and details for programs.
//!
//! The details are an `ErrorInfo` with the reason and, in its metadata, the `error_code` of the
//! REST API; a `BadRequest` that names the field; and a `RetryInfo` where repeating the call helps.
//! All details derive from the reason and the field of the error, never from its message. Domain
//! rules use the field names of this protocol, so paths need no translation.

use std::{any::Any, collections::HashMap, time::Duration};

use axum::response::Response;
use domain::{Error, ErrorKind, FieldPath, RETRY_AFTER, Reason, error::Segment, limits::MAX_MESSAGE_BYTES};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// Domain of `ErrorInfo.reason`.
const DOMAIN: &str = "graywave";
/// Key in `ErrorInfo.metadata` of the `error_code` that REST returns for the same reason.
const ERROR_CODE: &str = "error_code";
/// Maximum bytes of a message. The metadata contains the message three times, and many clients
/// reject metadata above 8 KiB.
const MAX_TEXT_BYTES: usize = 1_000;

/// Builds the status for a client and logs the cause.
pub(crate) fn failed(error: Error) -> Status {
    let retry_after = error.kind().is_temporary().then_some(RETRY_AFTER);
    status(error, retry_after)
}

/// Like [`failed`], for an error whose field is inside `part` of the request.
pub(crate) fn within(part: &'static str) -> impl Fn(Error) -> Status + Copy {
    move |error| failed(error.within(part))
}

/// Builds the status for a caller above its rate. `wait` becomes `RetryInfo`.
pub(crate) fn rate_limited(wait: Duration) -> Status {
    let error = Error::new(Reason::RateLimited, "too many calls; retry after the delay in RetryInfo");
    status(error, Some(wait))
}

/// Builds the status for a call past the deadline of the client or the server. Without `RetryInfo`:
/// an immediate retry could repeat the change.
pub(crate) fn deadline_exceeded() -> Status {
    let message = "the call exceeded its deadline; check whether it took effect before you repeat it";
    status(Error::new(Reason::DeadlineExceeded, message), None)
}

/// Returns the error kind of a code, for the audit.
pub(crate) fn kind(code: Code) -> ErrorKind {
    let reason = Reason::ALL.iter().find(|&&reason| proto::code(reason) == code);
    reason.map_or(ErrorKind::Internal, |reason| reason.kind())
}

/// Adds details to a status that comes from `tonic` and therefore has none.
///
/// `tonic` reports its own failures by code only: `Internal` for a request that cannot be decoded,
/// and `OutOfRange` for a request above the size limit. Handlers of this crate attach details to
/// every status, so a status without details comes from `tonic`. The message is passed on and never
/// parsed.
pub(crate) fn detailed(response: Response) -> Response {
    let bare = response.extensions().get::<Status>().filter(|status| status.details().is_empty());
    let Some(bare) = bare.filter(|bare| bare.code() != Code::Ok) else { return response };
    let (reason, message) = (reason_of_bare(bare.code()), bare.message());
    let message = match reason {
        Reason::RequestUnreadable => format!("the request is no valid message: {message}"),
        Reason::RequestTooLarge => format!(
            "the request exceeds its size limit: {message}. The limit with desktop ids is {MAX_MESSAGE_BYTES} bytes; choose \
             desktops by pool or tag instead"
        ),
        _ => message.to_owned(),
    };
    status(Error::new(reason, message), None).into_http()
}

/// Returns the reason of a status without details, from its code alone.
const fn reason_of_bare(code: Code) -> Reason {
    match code {
        Code::Internal => Reason::RequestUnreadable,
        Code::OutOfRange => Reason::RequestTooLarge,
        Code::Unimplemented | Code::NotFound => Reason::PathNotFound,
        Code::DeadlineExceeded | Code::Cancelled => Reason::DeadlineExceeded,
        Code::Unauthenticated => Reason::CredentialRequired,
        Code::PermissionDenied => Reason::CallNotOpen,
        Code::InvalidArgument => Reason::FieldInvalid,
        Code::ResourceExhausted => Reason::RateLimited,
        Code::Unavailable => Reason::Overloaded,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => Reason::ConcurrentChange,
        Code::Ok | Code::Unknown | Code::DataLoss => Reason::Internal,
    }
}

/// Builds the response of a call that panicked.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let cause = format!("a call panicked: {}", text.unwrap_or("no panic message"));
    failed(Error::internal().with_source(cause)).into_http()
}

/// Builds the status for a path without a method.
pub(crate) fn no_such_call(path: &str) -> Status {
    let message = format!("no such call: {path}; reflection lists all calls");
    failed(Error::new(Reason::PathNotFound, message))
}

fn status(error: Error, retry_after: Option<Duration>) -> Status {
    if let Some(cause) = &error.source {
        let cause: &dyn std::error::Error = &**cause;
        tracing::error!(error = cause, "call failed");
    }
    let field = error.field.as_ref().map(name);
    let description = match &field {
        Some((_, Some(inside))) => error.text(Some(inside)),
        _ => error.message.clone(),
    };
    let field = field.map(|(field, _)| field);
    let text = field.as_ref().map_or_else(|| description.clone(), |field| format!("{field}: {description}"));
    let reason = error.reason;
    let metadata = HashMap::from([(ERROR_CODE.to_owned(), reason.code().to_owned())]);
    let mut details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata);
    if let Some(field) = field {
        details.set_bad_request(vec![FieldViolation {
            field: cut(&field).to_owned(),
            description: cut(&description).to_owned(),
            reason: reason.as_str().to_owned(),
            localized_message: None,
        }]);
    }
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(proto::code(reason), cut(&text), details)
}

/// Returns the field of the request. The second value is the path inside a policy document, whose
/// parts are no fields of the protocol.
fn name(field: &FieldPath) -> (String, Option<String>) {
    match field.segments() {
        [document @ Segment::Name(name), inside @ ..] if name == "document" && !inside.is_empty() => {
            let path = |segments: &[Segment]| FieldPath::from(segments.to_vec()).to_string();
            (path(std::slice::from_ref(document)), Some(path(inside)))
        }
        _ => (field.to_string(), None),
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the reason, the `error_code` and the fields of a status.
    fn details(status: &Status) -> (String, String, Vec<String>) {
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.domain, DOMAIN);
        let fields = details.bad_request().map(|it| it.field_violations.clone()).unwrap_or_default();
        let fields = fields.into_iter().map(|violation| violation.field).collect();
        (info.reason.clone(), info.metadata[ERROR_CODE].clone(), fields)
    }

    #[test]
    fn every_reason_is_mapped_without_its_message() {
        for &reason in Reason::ALL {
            let status = failed(Error::new(reason, "x").with_source("password=secret"));
            assert_eq!((status.message(), status.code()), ("x", proto::code(reason)));
            let expected = (reason.as_str().to_owned(), reason.code().to_owned(), vec![]);
            assert_eq!(details(&status), expected);
            assert_eq!(status.get_error_details().retry_info().is_some(), reason.kind().is_temporary());
        }
    }

    #[test]
    fn every_reason_with_a_field_names_it() {
        for &reason in Reason::ALL {
            let status = within("task")(Error::field(reason, FieldPath::from("waves").index(1), "x"));
            assert_eq!(status.message(), "task.waves[1]: x");
            let violation = status.get_error_details().bad_request().unwrap().field_violations[0].clone();
            assert_eq!((violation.field.as_str(), violation.description.as_str()), ("task.waves[1]", "x"));
            assert_eq!(violation.reason, reason.as_str());
        }
    }

    #[test]
    fn place_within_a_document_is_told_in_words() {
        let statement = FieldPath::from("document.Statement").index(0).name("Action");
        let status = failed(Error::invalid(statement, "x"));
        assert_eq!(status.message(), "document: Statement[0].Action: x");
        assert_eq!(details(&status).2, ["document"]);
    }

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        for kind in ErrorKind::ALL {
            let reason = Reason::ALL.iter().find(|reason| reason.kind() == kind).unwrap();
            assert_eq!(self::kind(proto::code(*reason)), kind);
        }
    }

    #[test]
    fn status_of_tonic_gets_details_by_its_code() {
        let detailed = |code: Code| {
            let response = detailed(Status::new(code, "x").into_http());
            let status = response.extensions().get::<Status>().unwrap().clone();
            (status.code(), details(&status).0)
        };
        let reason = |reason: Reason| reason.as_str().to_owned();
        assert_eq!(detailed(Code::Internal), (Code::InvalidArgument, reason(Reason::RequestUnreadable)));
        assert_eq!(detailed(Code::OutOfRange), (Code::InvalidArgument, reason(Reason::RequestTooLarge)));
        assert_eq!(detailed(Code::Unimplemented), (Code::Unimplemented, reason(Reason::PathNotFound)));
        assert_eq!(detailed(Code::PermissionDenied), (Code::PermissionDenied, reason(Reason::CallNotOpen)));
        let ours = super::detailed(failed(Error::internal()).into_http());
        assert_eq!(ours.extensions().get::<Status>().unwrap().code(), Code::Internal);
    }

    #[test]
    fn long_text_of_a_client_is_cut() {
        let long = "ü".repeat(100_000);
        for error in [
            Error::invalid("gray_count", long.as_str()),
            Error::invalid(FieldPath::from("exit_codes").key(&long), "x"),
            Error::invalid(FieldPath::dynamic(&long), long.as_str()),
        ] {
            let status = failed(error);
            assert!(status.message().len() <= MAX_TEXT_BYTES && status.details().len() < 4 * MAX_TEXT_BYTES);
        }
    }

    #[test]
    fn rate_limited_caller_reads_how_long_to_wait() {
        let status = rate_limited(Duration::from_millis(1_500));
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(1_500)));
        assert_eq!(deadline_exceeded().code(), Code::DeadlineExceeded);
    }
}
