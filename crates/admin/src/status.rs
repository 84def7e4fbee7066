//! The one place that maps a failure to gRPC.

use domain::{Error, ErrorKind};
use tonic::{Code, Status};

const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::KeyReused => Code::AlreadyExists,
        ErrorKind::TooMany => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The status that a client gets; the cause goes to the log.
pub(crate) fn failed(error: Error) -> Status {
    if let Some(cause) = &error.source {
        let cause: &dyn std::error::Error = &**cause;
        tracing::error!(error = cause, "an admin call failed");
    }
    Status::new(code(error.kind), error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_and_the_cause_stays_inside() {
        for kind in ErrorKind::ALL {
            let status = failed(Error::new(kind, "it failed").because("password=secret"));
            assert_ne!(status.code(), Code::Ok);
            assert_eq!(status.message(), "it failed");
        }
    }
}
