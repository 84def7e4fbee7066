//! Bounds on calls that need no credential.
//!
//! They share the places for requests with all other calls. Without bounds of their own, a client
//! without a credential could hold all places with bodies that never end, or with sign-ins at an
//! identity provider that does not answer.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// Maximum size of a body with a token or a code, in bytes.
const MAX_SIGN_IN_BYTES: usize = 16 << 10;
/// Calls in progress at the same time. Further ones are refused.
const MAX_CALLS: usize = 64;

/// Bounds on a group of calls.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    places: Arc<Semaphore>,
    /// Time within which a body must arrive.
    body_timeout: Duration,
}

impl Bounds {
    pub(super) fn new(body_timeout: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_CALLS)), body_timeout }
    }
}

/// Refuses a call without a free place, and reads the body within its limits.
pub(super) async fn bounded(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let Ok(_place) = bounds.places.try_acquire() else { return ApiError::overloaded().into_response() };
    let (parts, body) = request.into_parts();
    let body = match tokio::time::timeout(bounds.body_timeout, to_bytes(body, MAX_SIGN_IN_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return ApiError::body_too_large(MAX_SIGN_IN_BYTES).into_response(),
        Err(_) => return ApiError::body_too_slow(bounds.body_timeout).into_response(),
    };
    next.run(Request::from_parts(parts, Body::from(body))).await
}
