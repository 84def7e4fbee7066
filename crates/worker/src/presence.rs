//! Tells the schedulers in bulk which desktops came and went.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::limits;
use proto::{
    scheduler::{DesktopKey as DesktopKeyMessage, UpdatePresenceRequest},
    types::Desktop,
};
use tokio::sync::Notify;

use crate::{
    registry::{DesktopKey, Registry},
    retry::Backoff,
    run::Worker,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
};

/// After a change, others are waited for this long, so that a thousand agents that come at once are few calls.
const GATHER: Duration = Duration::from_millis(5);

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

    fn take(&self) -> Vec<(DesktopKey, Option<Desktop>)> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<DesktopKey> =
            changes.keys().take(limits::MAX_DESKTOPS_PER_PRESENCE_UPDATE).cloned().collect();
        keys.into_iter().filter_map(|key| changes.remove_entry(&key)).collect()
    }

    /// Puts back what could not be told, unless it changed again.
    fn put_back(&self, untold: Vec<(DesktopKey, Option<Desktop>)>) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, change) in untold {
            changes.entry(key).or_insert(change);
        }
    }
}

/// Tells changes for as long as the worker runs.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    let mut backoff = Backoff::default();
    loop {
        let changes = worker.presence.take();
        if changes.is_empty() {
            worker.presence.changed.notified().await;
            tokio::time::sleep(GATHER).await;
            continue;
        }
        let request = update(&worker.worker_id, &changes);
        match client.update_presence(with_deadline(request, CALL_TIMEOUT)).await {
            Ok(_) => backoff.succeeded(),
            Err(status) => {
                worker.presence.put_back(changes);
                tracing::debug!(%status, "presence could not be told");
                if status.code() == tonic::Code::FailedPrecondition {
                    worker.heartbeat_now.notify_one();
                }
                tokio::time::sleep(backoff.failed()).await;
            }
        }
    }
}

fn update(worker_id: &str, changes: &[(DesktopKey, Option<Desktop>)]) -> UpdatePresenceRequest {
    let mut request = UpdatePresenceRequest { worker_id: worker_id.to_owned(), ..Default::default() };
    for (key, change) in changes {
        match change {
            Some(desktop) => request.connected.push(desktop.clone()),
            None => request.disconnected.push(DesktopKeyMessage {
                project_id: key.project_id.clone(),
                desktop_id: key.desktop_id.clone(),
            }),
        }
    }
    request
}
