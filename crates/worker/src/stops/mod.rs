//! Forwards stops and requests for output from the schedulers to agents.

use proto::{
    agent::{AttachResponse, ExecutionKey, StopOrder, attach_response::Message},
    scheduler::{TargetStop, WatchStopsRequest},
};
use time_sync::Backoff;
use tonic::Status;

use crate::{
    live_output,
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, answer_begins_within},
    state::Worker,
};

#[cfg(test)]
mod tests;

/// Watches stops for as long as the worker runs, including while it drains.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    let mut backoff = backoff();
    loop {
        match listen(worker, &mut client, &mut backoff).await {
            Ok(()) => tracing::debug!("the scheduler ended the stream of stops"),
            Err(status) => tracing::debug!(%status, "the stream of stops failed"),
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Watches until the stream ends. A stream without stops is silent, so only its start has a
/// deadline. The connection's keepalive ends the stream of a hung or lost scheduler.
async fn listen(worker: &Worker, client: &mut Client, backoff: &mut Backoff) -> Result<(), Status> {
    let request = WatchStopsRequest { worker_id: worker.worker_id.clone() };
    let mut stream = client.watch_stops(answer_begins_within(request, CALL_TIMEOUT)).await?.into_inner();
    backoff.reset();
    while let Some(response) = stream.message().await? {
        for stop in response.stops {
            pass_on(worker, stop);
        }
        for watch in response.output_watches {
            live_output::ask(worker, watch);
        }
    }
    Ok(())
}

/// Sends a stop to the agent on the connection that delivered the target. Targets not in flight are
/// ignored. A stop that is not sent is not retried: the schedulers repeat every stop until its
/// target has ended.
///
/// A target counts as in flight just before its order is sent, so a stop may precede its order.
/// That is harmless: the agent ignores stops of unknown orders, and the repeated stop follows the
/// order.
fn pass_on(worker: &Worker, stop: TargetStop) {
    let key = ExecutionKey { task_id: stop.task_id, ordinal: stop.ordinal, attempt: stop.attempt };
    let Some((desktop, session)) = worker.in_flight.handed_out_on(&key) else { return };
    let Some((current, to_agent)) = worker.registry.find(&desktop) else { return };
    // The target is about to be returned with its connection: another worker forwards the stop.
    if current != session {
        return;
    }
    let order = StopOrder { key: Some(key), script: stop.script };
    // Without waiting: an agent that does not read must not delay the stops of other agents.
    if to_agent.try_send(Ok(AttachResponse { message: Some(Message::Stop(order)) })).is_err() {
        tracing::debug!(desktop_id = desktop.desktop_id, "stop not sent; schedulers repeat it");
    }
}
