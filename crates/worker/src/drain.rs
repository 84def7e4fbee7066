//! Sends desktops elsewhere while an operator wants the worker to drain: each as soon as nothing runs on it.

use std::time::Duration;

use proto::scheduler::DesktopKey;

use crate::state::Worker;

/// A report that ends rings no bell of its own.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Runs until the worker stops.
pub(crate) async fn run(worker: &Worker) {
    let mut drain_requested = worker.drain_requested();
    while drain_requested.wait_for(|wanted| *wanted).await.is_ok() {
        let changed = worker.in_flight.changed.notified();
        let (gone, _) = send_idle_away(worker);
        for key in gone {
            worker.presence.disconnected(key);
        }
        // Whatever ends the wait: look again.
        drop(tokio::time::timeout(POLL_INTERVAL, changed).await);
    }
}

/// Closes the connections of desktops that nothing runs on; they dial another worker. Returns which, and whether no other
/// one is left.
pub(crate) fn send_idle_away(worker: &Worker) -> (Vec<DesktopKey>, bool) {
    let busy = worker.in_flight.busy_sessions();
    (worker.registry.close_unless(|session| busy.contains(&session)), busy.is_empty())
}
