//! Renews leases well before they expire.

use std::time::Duration;

use domain::limits;
use futures::future::join_all;
use proto::scheduler::{Lease, RenewRequest};

use crate::{
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Fraction of a lease after which it is renewed, and which one attempt may take.
///
/// With one hung scheduler, a renewal waits one part, loses one part to the failed attempt and
/// pauses for 0.1 s. The rest remains for an attempt at another scheduler.
const PARTS: u32 = 3;

/// Renews all leases three times within their duration.
pub(crate) async fn run(worker: &Worker, client: Client) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(worker.lease() / PARTS) => {}
            // The first pull may announce a shorter lease duration.
            () = worker.lease_changed.notified() => continue,
        }
        let leases = worker.in_flight.leases();
        let chunks = leases.chunks(limits::MAX_LEASES_PER_RENEWAL);
        // Concurrently: one slow renewal must not delay the remaining ones.
        join_all(chunks.map(|leases| renew(worker, client.clone(), leases))).await;
    }
}

/// Retries until a scheduler answers, for at most one lease duration. After that, other workers may
/// hold the leases.
async fn renew(worker: &Worker, mut client: Client, leases: &[Lease]) {
    let lease = worker.lease();
    let tries = async {
        let mut backoff = backoff();
        loop {
            let request = RenewRequest { worker_id: worker.worker_id.clone(), leases: leases.to_vec() };
            match client.renew(with_deadline(request, try_timeout(lease))).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => tracing::debug!(%status, "lease renewal failed"),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    };
    let Ok(answer) = tokio::time::timeout(lease, tries).await else { return };
    worker.set_lease_ms(answer.lease_ms);
    if !answer.lost.is_empty() {
        tracing::warn!(
            leases = answer.lost.len(),
            "leases lost: other workers take over the unfinished targets"
        );
        worker.in_flight.lose(&answer.lost);
    }
}

fn try_timeout(lease: Duration) -> Duration {
    (lease / PARTS).min(CALL_TIMEOUT)
}
