//! Acknowledgements of stored results that wait to be sent.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::{agent::ResultAck, scheduler::DesktopKey};

/// Acknowledgements of the stored results, by desktop.
pub(crate) type ByDesktop = HashMap<DesktopKey, Vec<ResultAck>>;

/// Acknowledgements that wait.
#[derive(Debug, Default)]
pub(crate) struct Acks(Mutex<ByDesktop>);

impl Acks {
    fn lock(&self) -> MutexGuard<'_, ByDesktop> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, desktop: DesktopKey, ack: ResultAck) {
        self.lock().entry(desktop).or_default().push(ack);
    }

    /// Removes and returns those of one desktop.
    pub(crate) fn take(&self, desktop: &DesktopKey) -> Vec<ResultAck> {
        self.lock().remove(desktop).unwrap_or_default()
    }

    /// Removes and returns all of them.
    pub(crate) fn take_all(&self) -> ByDesktop {
        std::mem::take(&mut *self.lock())
    }
}
