//! Maps failures to gRPC statuses.

use tonic::{Code, Status};

/// Converts a store error to a status; the only such conversion. The cause goes to the log.
pub(super) fn failed(error: store::Error) -> Status {
    let code = if error.is_unavailable() { Code::Unavailable } else { Code::Internal };
    tracing::warn!(error = &error as &dyn std::error::Error, "a worker's call failed");
    Status::new(code, error.to_string())
}

pub(super) fn invalid(error: domain::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(super) fn too_many(what: &str, limit: usize) -> Status {
    Status::invalid_argument(format!("too many {what}: the limit of one call is {limit}"))
}
