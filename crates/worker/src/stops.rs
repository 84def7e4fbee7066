//! Passes on which targets are to be stopped.

use proto::{
    agent::{AttachResponse, ExecutionKey, StopOrder, attach_response::Message},
    scheduler::{TargetStop, WatchStopsRequest},
};
use time_sync::Backoff;
use tonic::Status;

use crate::{
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, answer_begins_within},
    state::Worker,
};

#[cfg(test)]
mod tests;

/// Listens to a scheduler for as long as the worker runs, also while the worker drains.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    let mut backoff = backoff();
    loop {
        match listen(worker, &mut client, &mut backoff).await {
            Ok(()) => tracing::debug!("the scheduler ended the stream of stops"),
            Err(status) => tracing::debug!(%status, "no stops are heard"),
        }
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// Listens until the stream ends. The stream is silent while nothing is to be stopped, so only its begin has a deadline.
/// The connection's keepalive ends the stream of a scheduler that is gone or hangs.
async fn listen(worker: &Worker, client: &mut Client, backoff: &mut Backoff) -> Result<(), Status> {
    let request = WatchStopsRequest { worker_id: worker.worker_id.clone() };
    let mut stream = client.watch_stops(answer_begins_within(request, CALL_TIMEOUT)).await?.into_inner();
    backoff.reset();
    while let Some(response) = stream.message().await? {
        for stop in response.stops {
            pass_on(worker, stop);
        }
    }
    Ok(())
}

/// Tells the agent on the connection that the target was handed out on. What is not in hand is ignored, and what does
/// not get through is not tried again: the schedulers repeat every stop until its target has ended.
///
/// A target is in hand a moment before its order leaves, so a stop may overtake its order. That is harmless: the agent
/// ignores a stop of what it does not know, and the repeated one comes after the order.
fn pass_on(worker: &Worker, stop: TargetStop) {
    let key = ExecutionKey { task_id: stop.task_id, ordinal: stop.ordinal, attempt: stop.attempt };
    let Some((desktop, session)) = worker.in_flight.handed_out_on(&key) else { return };
    let Some((current, to_agent)) = worker.registry.find(&desktop) else { return };
    // The target is about to be given back with its connection: others pass the stop on.
    if current != session {
        return;
    }
    let order = StopOrder { key: Some(key), script: stop.script };
    // Without waiting: one agent that does not read must not keep the others' stops.
    if to_agent.try_send(Ok(AttachResponse { message: Some(Message::Stop(order)) })).is_err() {
        tracing::debug!(desktop_id = desktop.desktop_id, "a stop was not taken; it is repeated");
    }
}
