//! Keeps the worker known.

use std::time::Duration;

use clock::Told;
use proto::scheduler::HeartbeatRequest;

use crate::{
    Ready,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    shared::Worker,
};

/// Pause after a heartbeat that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Sends a heartbeat at the interval that the schedulers ask for, and at once when something changed.
pub(crate) async fn run(worker: &Worker, mut client: Client, ready: &Ready) {
    loop {
        let request = HeartbeatRequest {
            worker_id: worker.worker_id.clone(),
            address: worker.address.clone(),
            capacity: worker.config.capacity,
            draining: worker.is_draining(),
        };
        let asked = worker.clock.asks();
        let pause = match client.heartbeat(with_deadline(request, CALL_TIMEOUT)).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                if let Some((now, error)) = answer.time.and_then(|time| time.read()) {
                    worker.told_time(asked, Told { now, error });
                }
                worker.end_revoked(answer.revoked);
                worker.want_drain(answer.drain);
                if answer.resync {
                    worker.presence.tell_all(&worker.registry);
                }
                ready.set(!worker.is_draining());
                Duration::from_millis(u64::from(answer.interval_ms))
            }
            Err(status) => {
                ready.set(false);
                tracing::debug!(%status, "heartbeat failed");
                AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = worker.heartbeat_now.notified() => {}
        }
    }
}
