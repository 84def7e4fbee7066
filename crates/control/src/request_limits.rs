//! Limits of requests, with one default for REST and gRPC.

use std::{num::NonZeroU32, time::Duration};

/// Limits of the requests that one server accepts.
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// Maximum duration of a unary call. A client may set a shorter deadline. Streams last longer.
    pub request_timeout: Duration,
    /// Maximum total bytes of all large requests in progress.
    pub body_budget_bytes: usize,
    /// Maximum number of calls in progress. Further calls are refused.
    pub max_in_flight: usize,
    /// Maximum number of calls per second of one principal. Further calls are refused.
    pub rate_per_second: NonZeroU32,
    /// Maximum burst of calls of one principal.
    pub rate_burst: NonZeroU32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            body_budget_bytes: 512 << 20,
            max_in_flight: 1_000,
            rate_per_second: NonZeroU32::MIN.saturating_add(499),
            rate_burst: NonZeroU32::MIN.saturating_add(999),
        }
    }
}
