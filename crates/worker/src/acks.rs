//! Acknowledgements of stored results that wait to be sent.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::{agent::ExecutionKey, scheduler::DesktopKey};

/// Keys of the stored results, by desktop.
pub(crate) type ByDesktop = HashMap<DesktopKey, Vec<ExecutionKey>>;

/// Acknowledgements that wait.
#[derive(Debug, Default)]
pub(crate) struct Acks(Mutex<ByDesktop>);

impl Acks {
    fn lock(&self) -> MutexGuard<'_, ByDesktop> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, desktop: DesktopKey, key: ExecutionKey) {
        self.lock().entry(desktop).or_default().push(key);
    }

    /// Removes and returns those of one desktop.
    pub(crate) fn take(&self, desktop: &DesktopKey) -> Vec<ExecutionKey> {
        self.lock().remove(desktop).unwrap_or_default()
    }

    /// Removes and returns all of them.
    pub(crate) fn take_all(&self) -> ByDesktop {
        std::mem::take(&mut *self.lock())
    }
}
