//! Readiness of a worker, for health checks.

use std::sync::{Arc, PoisonError, RwLock};

use domain::schema::WaitsFor;

/// Readiness of the worker, or the reason why it is not ready.
///
/// A worker becomes ready when a scheduler admits it, and stays ready until it drains. It does not
/// follow the schedulers: without them, its agents would find no other worker either.
#[derive(Debug, Clone)]
pub struct Ready(Arc<RwLock<Result<(), String>>>);

impl Default for Ready {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Err(WaitsFor::Scheduler.to_string()))))
    }
}

impl Ready {
    /// Checks whether the worker is ready now.
    ///
    /// # Errors
    ///
    /// Why the worker is not ready.
    pub fn check(&self) -> Result<(), String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, state: Result<(), String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
