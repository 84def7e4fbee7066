//! Pulls batches while there is capacity.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proto::{scheduler::PullRequest, types::Script};

use crate::{
    dispatch,
    order_proofs::{Answer, parts},
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Time that a pull waits for work at the scheduler.
const WAIT: Duration = Duration::from_secs(20);

/// Pulls from the admission until the worker stops, except while an operator drains it.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    let mut backoff = backoff();
    let mut drain_requested = worker.drain_requested();
    worker.admission.granted().await;
    loop {
        if drain_requested.wait_for(|wanted| !wanted).await.is_err() {
            return;
        }
        let changed = worker.in_flight.changed.notified();
        let room = worker.config.capacity.saturating_sub(worker.in_flight.places(worker.config.capacity));
        if room == 0 {
            changed.await;
            continue;
        }
        let wait_ms = u32::try_from(WAIT.as_millis()).unwrap_or(u32::MAX);
        let request = PullRequest {
            worker_id: worker.worker_id.clone(),
            capacity: room,
            wait_ms,
            deny_list_version: worker.deny_lists.known_version(Instant::now()),
        };
        match client.pull(with_deadline(request, WAIT + CALL_TIMEOUT)).await {
            Ok(answer) => {
                backoff.reset();
                let mut answer = answer.into_inner();
                // First, so that no order reaches a revoked desktop, or an agent before its list.
                worker.end_revoked(std::mem::take(&mut answer.revoked));
                worker.take_deny_list(answer.deny_list.take());
                let signed = Answer::new(&mut answer);
                let scripts: Vec<Arc<Script>> =
                    std::mem::take(&mut answer.scripts).into_iter().map(Arc::new).collect();
                for (batch, part) in parts(answer.batches, signed.as_ref()) {
                    worker.set_lease_ms(batch.lease_ms);
                    dispatch::dispatch(worker, batch, &scripts, part).await;
                }
            }
            Err(status) => {
                tracing::debug!(%status, "pull failed");
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}
