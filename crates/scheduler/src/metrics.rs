//! Gauges of tasks, targets, desktops and workers, read from the database: every scheduler reports
//! the same values.

use store::{Error, Store, stats};
use telemetry::metric::{DESKTOPS_CONNECTED, TARGETS, TASKS_OPEN, WORKERS};

/// Reads the counts and sets the gauges.
pub(crate) async fn refresh(store: &Store) -> Result<(), Error> {
    let gauges = stats::read(&mut *store.acquire().await?).await?;
    TASKS_OPEN.set(gauges.tasks_open, &[]);
    TARGETS.set(gauges.targets_ready, &["ready"]);
    TARGETS.set(gauges.targets_leased, &["leased"]);
    TARGETS.set(gauges.targets_waiting, &["waiting"]);
    DESKTOPS_CONNECTED.set(gauges.desktops_connected, &[]);
    WORKERS.set(gauges.workers, &["false"]);
    WORKERS.set(gauges.workers_draining, &["true"]);
    Ok(())
}
