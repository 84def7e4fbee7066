//! Which desktops came and went, until the schedulers know.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use domain::limits;
use proto::{scheduler::DesktopKey, types::Desktop};
use tokio::sync::Notify;

use crate::registry::Registry;

/// A desktop that came, as it is, or went.
pub(crate) type Change = (DesktopKey, Option<Desktop>);

/// Changes that no scheduler knows yet; the last one of each desktop counts.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    changes: Mutex<HashMap<DesktopKey, Option<Desktop>>>,
    changed: Notify,
}

impl Presence {
    pub(crate) fn came(&self, key: DesktopKey, desktop: Desktop) {
        self.put(key, Some(desktop));
    }

    pub(crate) fn went(&self, key: DesktopKey) {
        self.put(key, None);
    }

    fn put(&self, key: DesktopKey, change: Option<Desktop>) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, change);
        self.changed.notify_one();
    }

    /// Tells everything again.
    pub(crate) fn tell_all(&self, registry: &Registry) {
        let all = registry.all();
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, desktop) in all {
            changes.entry(key).or_insert(Some(desktop));
        }
        drop(changes);
        self.changed.notify_one();
    }

    /// Waits for a change.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes as many changes as one call may tell.
    pub(crate) fn take(&self) -> Vec<Change> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<DesktopKey> =
            changes.keys().take(limits::MAX_DESKTOPS_PER_PRESENCE_UPDATE).cloned().collect();
        keys.into_iter().filter_map(|key| changes.remove_entry(&key)).collect()
    }

    /// Puts back what could not be told, unless it changed again.
    pub(crate) fn put_back(&self, untold: Vec<Change>) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, change) in untold {
            changes.entry(key).or_insert(change);
        }
    }
}
