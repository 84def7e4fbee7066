//! Renews leases well before they end.

use std::time::Duration;

use domain::limits;
use futures::future::join_all;
use proto::scheduler::{Lease, RenewRequest};

use crate::{
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Part of a lease after which it is renewed, and which one try may take.
///
/// With one hung scheduler, a renewal needs one part to begin, one for the try that fails and a pause of 0.1 s; the rest
/// is left for the try at another scheduler.
const PARTS: u32 = 3;

/// Renews all leases three times within the time that they last.
pub(crate) async fn run(worker: &Worker, client: Client) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(worker.lease() / PARTS) => {}
            // The first pull may say that leases are shorter than we thought.
            () = worker.lease_changed.notified() => continue,
        }
        let leases = worker.in_flight.leases();
        let chunks = leases.chunks(limits::MAX_LEASES_PER_RENEWAL);
        // At once: one that fails for long must not keep the others from being renewed.
        join_all(chunks.map(|leases| renew(worker, client.clone(), leases))).await;
    }
}

/// Tries until a scheduler answers. After a lease's time it gives up: by then others may hold the leases.
async fn renew(worker: &Worker, mut client: Client, leases: &[Lease]) {
    let lease = worker.lease();
    let tries = async {
        let mut backoff = backoff();
        loop {
            let request = RenewRequest { worker_id: worker.worker_id.clone(), leases: leases.to_vec() };
            match client.renew(with_deadline(request, try_timeout(lease))).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => tracing::debug!(%status, "leases could not be renewed"),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    };
    let Ok(answer) = tokio::time::timeout(lease, tries).await else { return };
    worker.set_lease_ms(answer.lease_ms);
    if !answer.lost.is_empty() {
        tracing::warn!(leases = answer.lost.len(), "leases lost: others take over what is not done");
        worker.in_flight.lose(&answer.lost);
    }
}

fn try_timeout(lease: Duration) -> Duration {
    (lease / PARTS).min(CALL_TIMEOUT)
}
