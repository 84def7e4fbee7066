//! Gauges of the worker: agents, targets in flight and waiting reports.

use std::time::Duration;

use telemetry::metric;

use crate::state::Worker;

const INTERVAL: Duration = Duration::from_secs(5);

/// Sets the gauges for as long as the worker runs.
pub(crate) async fn run(worker: &Worker) {
    loop {
        let sizes = [
            (metric::AGENTS_CONNECTED, worker.registry.len()),
            (metric::TARGETS_HELD, worker.in_flight.len()),
            (metric::REPORTS_WAITING, worker.reports.len()),
        ];
        for (metric, number) in sizes {
            metric.set(number as u64, &[]);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
