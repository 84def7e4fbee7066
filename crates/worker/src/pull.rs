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
/// A pull for fewer places first waits for more of them: each pull is a transaction, and a batch
/// that does not fit is split.
const FEW_PLACES: u32 = domain::limits::MAX_TARGETS_PER_BATCH as u32;
/// Limit of that wait. A task of another project may wait for these places.
const GATHER: Duration = Duration::from_millis(10);

/// Waits for free places and returns their number.
async fn room(worker: &Worker) -> u32 {
    let capacity = worker.config.capacity;
    let enough = FEW_PLACES.min(capacity.div_ceil(2));
    let mut deadline = None;
    loop {
        let changed = worker.in_flight.changed.notified();
        let room = capacity.saturating_sub(worker.in_flight.places(capacity));
        if room >= enough {
            return room;
        }
        if room == 0 {
            changed.await;
            continue;
        }
        let deadline = *deadline.get_or_insert_with(|| tokio::time::Instant::now() + GATHER);
        if tokio::time::timeout_at(deadline, changed).await.is_err() {
            return room;
        }
    }
}

/// Pulls from the admission until the worker stops, except while an operator drains it.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    let mut backoff = backoff();
    let mut drain_requested = worker.drain_requested();
    worker.admission.granted().await;
    loop {
        if drain_requested.wait_for(|wanted| !wanted).await.is_err() {
            return;
        }
        let room = room(worker).await;
        if *drain_requested.borrow() {
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
