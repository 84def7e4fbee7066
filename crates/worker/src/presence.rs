//! Connects and disconnects of desktops that no scheduler knows yet.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use domain::limits;
use prost::Message;
use proto::{scheduler::DesktopKey, types::Desktop};
use tokio::sync::Notify;

use crate::registry::Registry;

/// Change of a desktop: `Some` description after a connect, `None` after a disconnect.
pub(crate) type Change = (DesktopKey, Option<Desktop>);

/// Pending changes; only the latest change of each desktop counts.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    changes: Mutex<HashMap<DesktopKey, Option<Desktop>>>,
    changed: Notify,
}

impl Presence {
    pub(crate) fn connected(&self, key: DesktopKey, desktop: Desktop) {
        self.put(key, Some(desktop));
    }

    pub(crate) fn disconnected(&self, key: DesktopKey) {
        self.put(key, None);
    }

    fn put(&self, key: DesktopKey, change: Option<Desktop>) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, change);
        self.changed.notify_one();
    }

    /// Queues all connected desktops again, for a resync.
    pub(crate) fn queue_all(&self, registry: &Registry) {
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

    /// Takes as many changes as one call can report.
    pub(crate) fn take(&self) -> Vec<Change> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut bytes, mut signed) = (0, 0);
        let fits = |(_, change): &(&DesktopKey, &Option<Desktop>)| {
            let fits =
                bytes < limits::SOFT_PRESENCE_BYTES && signed < limits::SOFT_ATTACHES_PER_PRESENCE_UPDATE;
            bytes += change.as_ref().map_or(0, Message::encoded_len);
            signed += usize::from(change.as_ref().is_some_and(|desktop| desktop.attach.is_some()));
            fits
        };
        let some = changes.iter().take(limits::MAX_DESKTOPS_PER_PRESENCE_UPDATE).take_while(fits);
        let keys: Vec<DesktopKey> = some.map(|(key, _)| key.clone()).collect();
        keys.into_iter().filter_map(|key| changes.remove_entry(&key)).collect()
    }

    /// Puts back changes that were not reported, unless newer ones exist.
    pub(crate) fn put_back(&self, unreported: Vec<Change>) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, change) in unreported {
            changes.entry(key).or_insert(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::types::SignedAttach;

    use super::*;

    #[test]
    fn one_call_has_a_bounded_number_of_signed_attaches() {
        let presence = Presence::default();
        let desktop = Desktop { attach: Some(SignedAttach::default()), ..Desktop::default() };
        for number in 0..500 {
            let key = DesktopKey { project_id: "p".into(), desktop_id: number.to_string() };
            presence.connected(key, desktop.clone());
        }
        let taken: Vec<usize> = (0..4).map(|_| presence.take().len()).collect();
        assert_eq!(taken, [200, 200, 100, 0]);
    }

    #[test]
    fn one_call_tells_no_more_than_a_message_takes() {
        let presence = Presence::default();
        let tags =
            (0..limits::MAX_TAGS_PER_DESKTOP).map(|number| (number.to_string(), "x".repeat(250))).collect();
        let desktop = Desktop { tags, ..Desktop::default() };
        for number in 0..600 {
            let key = DesktopKey { project_id: "p".into(), desktop_id: number.to_string() };
            presence.connected(key, desktop.clone());
        }
        let (first, second) = (presence.take(), presence.take());
        let bytes: usize = first.iter().filter_map(|(_, came)| came.as_ref()).map(Message::encoded_len).sum();
        assert!(bytes < limits::MAX_MESSAGE_BYTES / 2, "{bytes}");
        assert_eq!(first.len() + second.len(), 600);
        assert!(!second.is_empty());
    }
}
