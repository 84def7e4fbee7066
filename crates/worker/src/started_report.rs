//! Reports started scripts to the schedulers.

use std::time::Duration;

use proto::scheduler::ReportRequest;

use crate::{
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Interval of the reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Reports started scripts for as long as the worker runs.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    let mut tick = tokio::time::interval(REPORT_EVERY);
    loop {
        tick.tick().await;
        loop {
            let waiting = worker.started.take();
            if waiting.is_empty() {
                break;
            }
            let started = waiting.iter().map(|(_, started)| started.clone()).collect();
            let worker_id = worker.worker_id.clone();
            let request = ReportRequest { worker_id, started, ..ReportRequest::default() };
            if let Err(status) = client.report(with_deadline(request, CALL_TIMEOUT)).await {
                tracing::debug!(%status, "reporting started scripts failed");
                worker.started.put_back(waiting);
                break;
            }
        }
    }
}
