//! Reports desktops that have room for orders again, and closes connections that are not read.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use domain::limits::MAX_ORDERS_PER_AGENT;
use proto::scheduler::DesktopKey;

use crate::{registry::SessionId, state::Worker};

/// Interval in which full desktops are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reports desktops that have room again, for as long as the worker runs. A desktop has room when
/// half of its orders have ended.
pub(crate) async fn run(worker: &Worker) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let now = Instant::now();
        close_stalled(worker, now);
        free(worker, now);
    }
}

/// Closes connections whose agents do not read, and reports their disconnect.
fn close_stalled(worker: &Worker, now: Instant) {
    for key in worker.registry.close_stalled(now) {
        let DesktopKey { project_id, desktop_id } = &key;
        tracing::warn!(project_id, desktop_id, "connection closed: the agent does not read its messages");
        worker.presence.disconnected(key);
    }
}

fn free(worker: &Worker, now: Instant) {
    let full = worker.registry.full_sessions(now);
    if full.is_empty() {
        return;
    }
    let counts = worker.in_flight.count_by_session(&full);
    let has_room =
        |(session, count): (SessionId, usize)| (count <= MAX_ORDERS_PER_AGENT / 2).then_some(session);
    let free: HashSet<SessionId> = counts.into_iter().filter_map(has_room).collect();
    for (key, desktop) in worker.registry.set_free(&free, now) {
        worker.presence.connected(key, desktop);
    }
}
