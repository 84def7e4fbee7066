//! The one place that maps a failure to gRPC: a code of gRPC, a message for people, and details for programs. The details are
//! an `ErrorInfo` with the code that the REST API gives, of the domain `graywave`; a `BadRequest` that names the field; and a
//! `RetryInfo` where trying again later helps.

use std::{collections::HashMap, time::Duration};

use domain::{Error, ErrorKind, RETRY_AFTER};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::fields;

/// The domain of our error codes.
const DOMAIN: &str = "graywave";

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
        _ => ErrorKind::Internal,
    })
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
    let mut details = info(error.kind);
    if error.kind == ErrorKind::Invalid {
        let field = fields::named_by(&message).map(|field| match part {
            "" => field.to_owned(),
            part => format!("{part}.{field}"),
        });
        details.add_bad_request_violation(field.unwrap_or_else(|| part.to_owned()), &message);
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
