//! Reports connects and disconnects of desktops to the schedulers in bulk.

use std::{collections::HashMap, time::Duration};

use proto::{
    scheduler::{DesktopKey, DesktopSession, UpdatePresenceRequest, UpdatePresenceResponse},
    types::Session,
};

use crate::{
    presence::Change,
    registry,
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Time that further changes are collected after the first one, so that a thousand simultaneous
/// connects need few calls.
const GATHER: Duration = Duration::from_millis(5);

/// Reports changes for as long as the worker runs.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    let mut backoff = backoff();
    loop {
        let changes = worker.presence.take();
        if changes.is_empty() {
            worker.presence.changed().await;
            tokio::time::sleep(GATHER).await;
            continue;
        }
        let request = update(&worker.worker_id, &changes);
        match client.update_presence(with_deadline(request, CALL_TIMEOUT)).await {
            Ok(answer) => {
                backoff.reset();
                settle(worker, changes, &answer.into_inner());
            }
            Err(status) => {
                worker.presence.put_back(changes);
                tracing::debug!(%status, "presence update failed");
                if status.code() == tonic::Code::FailedPrecondition {
                    worker.heartbeat_now.notify_one();
                }
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}

/// Marks accepted connections as known, and closes refused ones.
fn settle<'a>(worker: &Worker, changes: Vec<Change>, answer: &'a UpdatePresenceResponse) {
    let of_desktop = |answered: &'a DesktopSession| answered.desktop.as_ref().zip(answered.session.as_ref());
    let sessions: HashMap<&DesktopKey, &Session> = answer.sessions.iter().filter_map(of_desktop).collect();
    for (key, change) in changes {
        let Some(desktop) = change else { continue };
        // Retired desktops are also listed as revoked.
        if answer.revoked.contains(&key) {
            let (why, reason) = if answer.retired.contains(&key) {
                ("its desktop is retired", registry::retired())
            } else {
                ("its certificate is revoked", registry::revoked())
            };
            let DesktopKey { project_id, desktop_id } = &key;
            tracing::warn!(project_id, desktop_id, "connection refused: {why}");
            worker.registry.refuse(&key, &desktop, reason);
            if !worker.registry.is_connected(&key) {
                worker.presence.disconnected(key);
            }
        } else if let Some(refused) =
            answer.refused.iter().find(|refused| refused.desktop.as_ref() == Some(&key))
        {
            let (project_id, desktop_id) = (&key.project_id, &key.desktop_id);
            tracing::error!(project_id, desktop_id, reason = refused.reason, "connection refused");
            worker.registry.refuse(&key, &desktop, registry::claim_refused(refused));
            // A changed description of a known connection can be refused, too.
            if !worker.registry.is_connected(&key) {
                worker.presence.disconnected(key);
            }
        } else {
            if let Some(session) = sessions.get(&key) {
                worker.registry.answer_attach(&key, &desktop, Session::clone(session));
            }
            worker.registry.is_known(&key, &desktop);
        }
    }
}

fn update(worker_id: &str, changes: &[Change]) -> UpdatePresenceRequest {
    let mut request = UpdatePresenceRequest { worker_id: worker_id.to_owned(), ..Default::default() };
    for (key, change) in changes {
        match change {
            Some(desktop) => request.connected.push(desktop.clone()),
            None => request.disconnected.push(key.clone()),
        }
    }
    request
}
