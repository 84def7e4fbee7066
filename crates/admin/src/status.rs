//! Failures as gRPC tells them.

use domain::Error;
use tonic::Status;

/// The status that a client gets; the cause goes to the log.
pub(crate) fn failed(error: Error) -> Status {
    if let Some(cause) = &error.source {
        let cause: &dyn std::error::Error = &**cause;
        tracing::error!(error = cause, "an admin call failed");
    }
    Status::new(proto::code(error.kind), error.message)
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
            assert_eq!(status.message(), "it failed");
        }
    }
}
