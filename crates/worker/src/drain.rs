//! Drain: redirects each desktop to another worker as soon as it has no leased target in flight.

use std::time::Duration;

use proto::scheduler::DesktopKey;

use crate::{acknowledge, state::Worker};

/// Fallback interval, because the end of a report does not notify.
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
        // Reads the state again after a change, and at least once per interval.
        drop(tokio::time::timeout(POLL_INTERVAL, changed).await);
    }
}

/// Closes the connections of idle desktops, whose agents then dial another worker. Returns the
/// closed desktops, and whether no busy desktop remains.
pub(crate) fn send_idle_away(worker: &Worker) -> (Vec<DesktopKey>, bool) {
    // An agent without its acknowledgement reports the result again elsewhere.
    acknowledge::flush(worker);
    let busy = worker.in_flight.busy_sessions();
    (worker.registry.close_unless(|session| busy.contains(&session)), busy.is_empty())
}
