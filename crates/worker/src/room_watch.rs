//! Reports desktops that have room for orders again.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use domain::limits::MAX_ORDERS_PER_AGENT;

use crate::{registry::SessionId, state::Worker};

/// Interval in which full desktops are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reports desktops that have room again, for as long as the worker runs. A desktop has room when
/// half of its orders have ended.
pub(crate) async fn run(worker: &Worker) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        free(worker, Instant::now());
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
