//! Renews leases well before they end.

use domain::limits;
use proto::scheduler::RenewRequest;

use crate::{
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    shared::Worker,
};

/// Renews three times within a lease.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(worker.lease() / 3) => {}
            // The first pull may say that leases are shorter than we thought.
            () = worker.lease_changed.notified() => continue,
        }
        for leases in worker.ledger.leases().chunks(limits::MAX_LEASES_PER_RENEWAL) {
            let request = RenewRequest { worker_id: worker.worker_id.clone(), leases: leases.to_vec() };
            match client.renew(with_deadline(request, CALL_TIMEOUT)).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    worker.set_lease_ms(answer.lease_ms);
                    if !answer.lost.is_empty() {
                        tracing::warn!(
                            leases = answer.lost.len(),
                            "leases lost: others take over what is not done"
                        );
                        worker.ledger.lose(&answer.lost);
                    }
                }
                // The next round comes well before the leases end.
                Err(status) => tracing::debug!(%status, "leases could not be renewed"),
            }
        }
    }
}
