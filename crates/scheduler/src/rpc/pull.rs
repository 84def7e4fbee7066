//! Pulls: a worker waits for batches.

use std::time::Duration;

use mtls::Signer;
use proto::scheduler::{PullRequest, PullResponse, RevokedConnection};
use telemetry::metric;
use tonic::{Request, Response, Status};

use super::{
    answer,
    context::{POLL_INTERVAL, Service},
    orders,
    peer::called,
};
use crate::leased::{Leased, Pulled};

/// Maximum wait of a pull.
const MAX_PULL_WAIT: Duration = Duration::from_secs(30);

/// Maximum wait of a pull while the worker's free places are reserved for other tasks. The worker
/// then pulls again with the places that became free meanwhile.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_millis(250);

/// Leases ready batches of the worker. Waits until at least one batch is ready.
pub(super) async fn handle(
    service: &Service,
    request: Request<PullRequest>,
) -> Result<Response<PullResponse>, Status> {
    let (caller, PullRequest { worker_id, capacity, wait_ms, deny_list_version }) = called(request);
    let worker_id = caller.is(&worker_id)?;
    let wait = Duration::from_millis(u64::from(wait_ms)).min(MAX_PULL_WAIT);
    let begin = tokio::time::Instant::now();
    let mut deadline = begin + wait;
    // Checked before the lease: a scheduler that cannot sign leaves the batches for one that can.
    service.signer.as_ref().map_or(Ok(()), Signer::check).map_err(Status::unavailable)?;
    let mut bell = service.wakes.ready.subscribe();
    let mut handed: Option<Pulled> = None;
    loop {
        bell.mark_unchanged();
        let Pulled { leased, waits_for_room } = match handed.take() {
            Some(pulled) => pulled,
            None => {
                let pulled = service.scheduler.lease(&worker_id, capacity, service.scheduler.now());
                service.done(pulled).await?
            }
        };
        if waits_for_room {
            deadline = deadline.min(begin + MAX_WAIT_FOR_ROOM);
        }
        let is_over = tokio::time::Instant::now() >= deadline || service.stop.is_cancelled();
        if !leased.is_empty() || is_over {
            let targets: usize = leased.iter().map(|leased| leased.batch.members.len()).sum();
            metric::TARGETS_LEASED.increment(targets as u64, &[]);
            // Read after the lease: the worker closes revoked connections before it dispatches any
            // target.
            let revoked = if leased.is_empty() { Vec::new() } else { service.to_end(&worker_id).await? };
            return Ok(Response::new(hand_out(service, &leased, revoked, deny_list_version)?));
        }
        let look_again = deadline.min(tokio::time::Instant::now() + POLL_INTERVAL);
        let mut waiting = service.scheduler.pulls.wait(&worker_id, capacity);
        // Reads the batches again after a wake-up, and at least once per interval.
        let has_news = tokio::select! {
            changed = tokio::time::timeout_at(look_again, bell.changed()) => changed.is_ok(),
            pulled = waiting.answered() => {
                handed = pulled;
                true
            }
            () = service.stop.cancelled() => true,
        };
        if handed.is_none() {
            handed = waiting.end().await;
        }
        if handed.is_none() && waits_for_room && !has_news {
            // The same batches are ready, and the worker may have more places by now.
            return Ok(Response::new(PullResponse::default()));
        }
    }
}

/// Builds and signs the response for the leased batches.
fn hand_out(
    service: &Service,
    leased: &[Leased],
    revoked: Vec<RevokedConnection>,
    deny_list_version: u64,
) -> Result<PullResponse, Status> {
    let lease_ms = service.scheduler.config().lease_ms;
    let mut answer = answer::pull_response(leased, lease_ms, revoked);
    if let Some(signer) = &service.signer {
        // One version for orders and list: agents refuse an order that is ahead of their list.
        let denied = service.scheduler.deny_lists.current();
        orders::sign(&mut answer, signer, denied.version).map_err(Status::unavailable)?;
        answer.deny_list = service.deny_list(&denied, deny_list_version);
    }
    Ok(answer)
}
