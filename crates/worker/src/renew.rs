//! Renews leases well before they expire.

use std::time::Duration;

use domain::limits;
use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use proto::scheduler::{Lease, RenewRequest, RenewResponse};
use tonic::{Response, Status};

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
    renew_with(worker, |request, timeout| {
        let mut client = client.clone();
        async move { client.renew(with_deadline(request, timeout)).await.map(Response::into_inner) }
    })
    .await;
}

/// Begins a round of renewals in each part of the lease. A round that is slow delays none of the
/// next rounds: it would otherwise last as long as the leases that it renews.
async fn renew_with<F, T>(worker: &Worker, send: F)
where
    F: Fn(RenewRequest, Duration) -> T,
    T: Future<Output = Result<RenewResponse, Status>>,
{
    let mut rounds = FuturesUnordered::new();
    loop {
        let mut pause = std::pin::pin!(tokio::time::sleep(worker.lease() / PARTS));
        let is_due = loop {
            tokio::select! {
                () = &mut pause => break true,
                // The first pull may announce a shorter lease duration.
                () = worker.lease_changed.notified() => break false,
                Some(()) = rounds.next(), if !rounds.is_empty() => {}
            }
        };
        if is_due {
            rounds.push(renew_all(worker, &send));
        }
    }
}

/// Renews all leases once. Ends when the round after the next begins, so that at most two rounds
/// are under way.
async fn renew_all<F, T>(worker: &Worker, send: &F)
where
    F: Fn(RenewRequest, Duration) -> T,
    T: Future<Output = Result<RenewResponse, Status>>,
{
    let leases = worker.in_flight.leases();
    let chunks = leases.chunks(limits::MAX_LEASES_PER_RENEWAL);
    // Concurrently: one slow renewal must not delay the remaining ones.
    let renewals = join_all(chunks.map(|leases| renew(worker, leases, send)));
    if tokio::time::timeout(2 * worker.lease() / PARTS, renewals).await.is_err() {
        tracing::warn!("no scheduler has renewed the leases in time; the next renewal is under way");
    }
}

/// Retries until a scheduler answers.
async fn renew<F, T>(worker: &Worker, leases: &[Lease], send: &F)
where
    F: Fn(RenewRequest, Duration) -> T,
    T: Future<Output = Result<RenewResponse, Status>>,
{
    let mut backoff = backoff();
    let answer = loop {
        let request = RenewRequest { worker_id: worker.worker_id.clone(), leases: leases.to_vec() };
        match send(request, try_timeout(worker.lease())).await {
            Ok(answer) => break answer,
            Err(status) => tracing::debug!(%status, "lease renewal failed"),
        }
        tokio::time::sleep(backoff.pause()).await;
    };
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proto::{agent::ExecutionKey, scheduler::DesktopKey};
    use tokio::time::Instant;

    use super::*;
    use crate::{Config, in_flight::InFlightTarget, registry::SessionId};

    #[tokio::test(start_paused = true)]
    async fn renewal_without_answer_delays_no_later_one() {
        let worker = Worker::new(Config::default(), String::new(), None);
        worker.in_flight.open(Lease { task_id: "t".into(), batch_id: "b".into(), epoch: 1 });
        let session = SessionId(1);
        let held = InFlightTarget { batch_id: "b".into(), desktop: DesktopKey::default(), session };
        worker.in_flight.hold(ExecutionKey::default(), held);
        let (began, lease) = (Instant::now(), worker.lease());
        let sent = RefCell::new(Vec::new());
        let rounds = renew_with(&worker, |_, _| {
            sent.borrow_mut().push(began.elapsed());
            std::future::pending()
        });
        assert!(tokio::time::timeout(2 * lease, rounds).await.is_err(), "rounds never end");
        let parts = (1..=6).map(|part| part * lease / PARTS);
        assert_eq!(sent.into_inner(), parts.collect::<Vec<_>>());
    }
}
