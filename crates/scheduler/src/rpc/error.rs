//! Failures as gRPC statuses.

use tonic::{Code, Status};

/// The one place that turns a failure of the database into a status. The cause goes to the log.
pub(super) fn failed(error: store::Error) -> Status {
    let code = if error.is_unavailable() { Code::Unavailable } else { Code::Internal };
    tracing::warn!(error = &error as &dyn std::error::Error, "a worker's call failed");
    Status::new(code, error.to_string())
}

pub(super) fn invalid(error: domain::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(super) fn too_many(what: &str, limit: usize) -> Status {
    Status::invalid_argument(format!("more than {limit} {what} in one call"))
}
