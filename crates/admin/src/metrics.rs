//! Metrics of calls, by method and status code.

use std::time::Instant;

use axum::{extract::Request, middleware::Next, response::Response};
use telemetry::metric;
use tonic::{Code, Status};

use crate::methods;

/// Counts and times a call. Unknown paths share one empty label, so callers cannot add label
/// values. A stream is timed until it starts.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (service, method) = methods::find(request.uri().path()).map_or(("", ""), methods::Method::parts);
    let response = next.run(request).await;
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    metric::ADMIN_CALLS.increment(1, &[service, method, word(code)]);
    metric::ADMIN_CALL_SECONDS.observe_duration(begun.elapsed(), &[service, method]);
    response
}

/// Returns the canonical gRPC name of a code.
const fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
