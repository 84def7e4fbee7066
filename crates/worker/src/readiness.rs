//! Whether a worker can do its work, for whoever watches it from outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// True while a scheduler hears the worker and it takes new work.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Whether it is so now.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Relaxed);
    }
}
