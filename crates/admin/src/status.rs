//! The one place that maps a failure to gRPC: a code of gRPC, a message for people, and details for programs. The details are
//! an `ErrorInfo` with the code that the REST API gives, of the domain `graywave`; a `BadRequest` that names the field; and a
//! `RetryInfo` where trying again later helps.

use std::{any::Any, collections::HashMap, time::Duration};

use axum::response::Response;
use domain::{Error, ErrorKind, RETRY_AFTER, limits::MAX_MESSAGE_BYTES};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::fields;

/// The domain of our error codes.
const DOMAIN: &str = "graywave";
/// Bytes of a message. It is told three times, in metadata, of which many clients take no more than 8 KiB.
const MAX_TOLD_BYTES: usize = 1_000;

/// The status that a client gets; the cause goes to the log.
pub(crate) fn failed(error: Error) -> Status {
    within("", error)
}

/// As [`failed`], for a part of the request: the fields that the error names are inside of this one.
pub(crate) fn within(part: &str, error: Error) -> Status {
    told(part, error, RETRY_AFTER)
}

/// The caller asks too often.
pub(crate) fn too_often(wait: Duration) -> Status {
    let error = Error::new(ErrorKind::TooMany, "too many calls: wait as long as RetryInfo says");
    told("", error, wait)
}

/// The time that the client, or we, gave a call is over.
pub(crate) fn too_late() -> Status {
    let details = info(ErrorKind::Unavailable);
    let message = "the call took too long; look whether it was done before you repeat it";
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}

/// What the audit is told of a failed call.
pub(crate) fn kind(code: Code) -> ErrorKind {
    ErrorKind::ALL.into_iter().find(|&kind| proto::code(kind) == code).unwrap_or(match code {
        Code::DeadlineExceeded | Code::Cancelled => ErrorKind::Unavailable,
        Code::OutOfRange => ErrorKind::Invalid,
        Code::Unimplemented => ErrorKind::NotFound,
        _ => ErrorKind::Internal,
    })
}

/// How the reasons begin for which `tonic` cannot read a request. It calls them its own fault.
const UNREADABLE: [&str; 3] = ["failed to decode", "protocol error", "Missing request message"];

/// The answer of a call; a failure that has no details, because it comes from what carries our calls and not from a rule of ours,
/// gets them. What could not be read of a request is the caller's fault.
pub(crate) fn detailed(response: Response) -> Response {
    let bare = response.extensions().get::<Status>().filter(|status| status.details().is_empty());
    let Some(bare) = bare else { return response };
    let message = bare.message();
    let told = match bare.code() {
        Code::Ok => return response,
        Code::Internal if UNREADABLE.iter().any(|begins| message.starts_with(begins)) => {
            failed(Error::invalid(format!("the request cannot be read: {message}")))
        }
        Code::OutOfRange => failed(Error::invalid(format!(
            "the request is too large: {message}. One that names desktops may have {MAX_MESSAGE_BYTES} bytes: more are chosen \
             by pool or tag"
        ))),
        code => Status::with_error_details(code, message, info(kind(code))),
    };
    told.into_http()
}

/// The answer of a call that panicked.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let cause = format!("a call panicked: {}", said.unwrap_or("without a word"));
    failed(Error::new(ErrorKind::Internal, "the operation failed inside").because(cause)).into_http()
}

/// A call that there is not.
pub(crate) fn no_such_call(path: &str) -> Status {
    let message = format!("{path} is no call of ours: reflection describes the calls there are");
    Status::with_error_details(Code::Unimplemented, message, info(ErrorKind::NotFound))
}

fn info(kind: ErrorKind) -> ErrorDetails {
    ErrorDetails::with_error_info(kind.code(), DOMAIN, HashMap::new())
}

fn told(part: &str, error: Error, retry_after: Duration) -> Status {
    if let Some(cause) = &error.source {
        let cause: &dyn std::error::Error = &**cause;
        tracing::error!(error = cause, "an admin call failed");
    }
    // The header of REST is a field here.
    let message = error.message.replace("Idempotency-Key", "idempotency_key");
    let message = message.get(..message.floor_char_boundary(MAX_TOLD_BYTES)).unwrap_or(&message);
    let mut details = info(error.kind);
    if error.kind == ErrorKind::Invalid {
        details.add_bad_request_violation(fields::path(part, message), message);
    }
    if error.kind.helps_later() {
        details.set_retry_info(Some(retry_after));
    }
    Status::with_error_details(proto::code(error.kind), message, details)
}

#[cfg(test)]
mod tests {
    use domain::ErrorKind;
    use tonic::Code;

    use super::*;

    #[test]
    fn every_kind_has_a_code_and_the_cause_stays_inside() {
        for kind in ErrorKind::ALL {
            let status = failed(Error::new(kind, "it failed").because("password=secret"));
            assert_ne!(status.code(), Code::Ok);
            assert_eq!((status.message(), self::kind(status.code())), ("it failed", kind));
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (kind.code(), "graywave"));
            assert_eq!(details.retry_info().is_some(), kind.helps_later());
            assert_eq!(details.bad_request().is_some(), kind == ErrorKind::Invalid);
        }
    }

    #[test]
    fn what_does_not_come_from_a_rule_of_ours_has_details_too() {
        let detailed = |code: Code| {
            let response = detailed(Status::new(code, "failed to decode Protobuf message: x").into_http());
            let status = response.extensions().get::<Status>().unwrap().clone();
            let reason = status.get_error_details().error_info().unwrap().reason.clone();
            (status.code(), reason)
        };
        let code = |kind: ErrorKind| kind.code().to_owned();
        assert_eq!(detailed(Code::Internal), (Code::InvalidArgument, code(ErrorKind::Invalid)));
        assert_eq!(detailed(Code::OutOfRange), (Code::InvalidArgument, code(ErrorKind::Invalid)));
        assert_eq!(detailed(Code::Unimplemented), (Code::Unimplemented, code(ErrorKind::NotFound)));
        assert_eq!(detailed(Code::PermissionDenied), (Code::PermissionDenied, code(ErrorKind::Forbidden)));
        let ours = super::detailed(failed(Error::new(ErrorKind::Internal, "ours")).into_http());
        assert_eq!(ours.extensions().get::<Status>().unwrap().code(), Code::Internal);
    }

    #[test]
    fn what_a_client_sent_is_not_sent_back_without_end() {
        let status = failed(Error::invalid(format!("gray_count {}", "ü".repeat(100_000))));
        assert!(status.message().len() <= MAX_TOLD_BYTES && status.details().len() < 3 * MAX_TOLD_BYTES);
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "gray_count");
        let field = failed(Error::invalid("gray_count.".to_owned() + &"x".repeat(100_000)));
        assert!(field.details().len() < 4 * MAX_TOLD_BYTES);
    }

    #[test]
    fn a_violation_names_the_field_with_its_path() {
        let field = |part: &str, message: &str| {
            let status = within(part, Error::invalid(message));
            let details = status.get_error_details();
            details.bad_request().unwrap().field_violations[0].field.clone()
        };
        assert_eq!(field("", "page_size 5000 is out of range: 1 to 1000"), "page_size");
        assert_eq!(field("task", "rollout.waves[1].count 0 is out of range"), "task.rollout.waves[1].count");
        assert_eq!(field("task", "one of scripts and command is required"), "task");
        assert_eq!(field("", "Idempotency-Key must have 1 to 128"), "idempotency_key");
        assert_eq!(field("", "the credential is none"), "");
        // Where the rules name the last of a path alone, it is found.
        assert_eq!(field("task", "max_concurrency 0 is out of range"), "task.rollout.max_concurrency");
        assert_eq!(field("task", "command_type is required"), "task.command.command_type");
        assert_eq!(field("rollout", "waves[0] is empty"), "rollout.waves[0]");
        assert_eq!(field("rollout", "rollout.waves[0] is empty"), "rollout.waves[0]");
        assert_eq!(field("desktop_id", "desktop id holds a control character"), "desktop_id");
    }

    #[test]
    fn who_calls_too_often_is_told_how_long_to_wait() {
        let status = too_often(Duration::from_millis(1_500));
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = status.get_error_details();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(1_500)));
        assert_eq!(too_late().code(), Code::DeadlineExceeded);
    }
}
