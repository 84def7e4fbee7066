//! Gauges of tasks, targets, desktops and workers, read from the database: every scheduler reports
//! the same values.

use domain::Timestamp;
use store::{Error, Store, projection, stats};
use telemetry::metric::{
    AUDIT_UNSEALED_SECONDS, DESKTOPS_CONNECTED, TARGETS, TASKS_OPEN, UNPROJECTED_SECONDS, WORKERS,
};
use uuid::Uuid;

/// Reads the counts and sets the gauges.
pub(crate) async fn refresh(store: &Store) -> Result<(), Error> {
    let mut connection = store.acquire().await?;
    let gauges = stats::read(&mut connection).await?;
    let backlog = projection::backlog(&mut connection).await?;
    drop(connection);
    TASKS_OPEN.set(gauges.tasks_open, &[]);
    TARGETS.set(gauges.targets_ready, &["ready"]);
    TARGETS.set(gauges.targets_leased, &["leased"]);
    TARGETS.set(gauges.targets_waiting, &["waiting"]);
    DESKTOPS_CONNECTED.set(gauges.desktops_connected, &[]);
    WORKERS.set(gauges.workers, &["false"]);
    WORKERS.set(gauges.workers_draining, &["true"]);
    let unsealed = gauges.oldest_unsealed.map_or(0, |entry| age_seconds(entry, store.clock().now()));
    AUDIT_UNSEALED_SECONDS.set(unsealed, &[]);
    let now = store.clock().now();
    let unprojected = backlog.waits_since.map_or(0, |since| (now - since).num_seconds());
    UNPROJECTED_SECONDS.set(u64::try_from(unprojected).unwrap_or_default(), &[]);
    Ok(())
}

/// Returns the age of a UUIDv7; 0 for an id of the future.
fn age_seconds(id: Uuid, now: Timestamp) -> u64 {
    let made = id.get_timestamp().map_or(0, |time| time.to_unix().0);
    u64::try_from(now.timestamp()).unwrap_or_default().saturating_sub(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_of_an_entry_is_that_of_its_id() {
        let now: Timestamp = "2026-12-01T00:01:30Z".parse().unwrap();
        let id = |seconds| Uuid::new_v7(uuid::Timestamp::from_unix_time(seconds, 0, 0, 0));
        let midnight = u64::try_from(now.timestamp()).unwrap() - 90;
        assert_eq!((age_seconds(id(midnight), now), age_seconds(id(midnight + 900), now)), (90, 0));
    }
}
