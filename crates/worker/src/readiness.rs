//! Readiness of a worker, for health checks.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Ready flag: true while a scheduler answers heartbeats and the worker accepts work.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Whether the worker is ready now.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Relaxed);
    }
}
