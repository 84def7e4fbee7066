//! Reports results and returned targets in groups: what comes while a report is on its way makes the next one.

use std::time::Duration;

use proto::{
    agent::{AttachResponse, ExecutionKey, ResultAck, attach_response::Message},
    scheduler::{DesktopKey, ReportRequest},
};

use crate::{
    reports::{Item, Waiting},
    retry::Backoff,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    shared::Worker,
};

/// Reports group after group for as long as the worker runs.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    loop {
        let group = worker.reports.next_group().await;
        if group.is_empty() {
            return;
        }
        let in_flight = worker.report_in_flight();
        report(worker, &mut client, group).await;
        drop(in_flight);
    }
}

/// Keeps its room in the queue until it is done with.
async fn report(worker: &Worker, client: &mut Client, group: Vec<Waiting>) {
    let mut request = ReportRequest { worker_id: worker.worker_id.clone(), ..Default::default() };
    let mut acks = Vec::with_capacity(group.len());
    let mut room = Vec::with_capacity(group.len());
    let mut spans = Vec::new();
    for Waiting { item, room: taken } in group {
        room.push(taken);
        match item {
            Item::Result { key, desktop, result, span } => {
                spans.push(span);
                acks.push((key, desktop));
                request.results.push(result);
            }
            Item::Returned(target) => request.returned.push(target),
        }
    }
    let mut backoff = Backoff::default();
    loop {
        match client.report(with_deadline(request.clone(), CALL_TIMEOUT)).await {
            Ok(answer) => {
                for refused in answer.into_inner().refused {
                    tracing::warn!(
                        task_id = refused.task_id,
                        ordinal = refused.ordinal,
                        reason = refused.reason,
                        "result refused"
                    );
                }
                break;
            }
            Err(status) if is_hopeless(status.code()) => {
                tracing::error!(%status, "a report is refused as a whole: it is dropped, its agents keep the results");
                worker.ledger.release(acks.iter().map(|(key, _)| key));
                return;
            }
            Err(status) => {
                tracing::warn!(%status, "report failed, it is sent again");
                tokio::time::sleep(backoff.failed()).await;
            }
        }
    }
    drop(spans);
    worker.ledger.release(acks.iter().map(|(key, _)| key));
    for (key, desktop) in acks {
        acknowledge(worker, key, &desktop).await;
    }
}

/// Codes that the same message gets again for ever.
fn is_hopeless(code: tonic::Code) -> bool {
    matches!(code, tonic::Code::InvalidArgument | tonic::Code::Unimplemented | tonic::Code::OutOfRange)
}

/// Tells the agent, on whatever connection it has here now. An acknowledgement that is lost costs one more report.
async fn acknowledge(worker: &Worker, key: ExecutionKey, desktop: &DesktopKey) {
    const PATIENCE: Duration = Duration::from_millis(100);
    let Some((_, to_agent)) = worker.registry.find(desktop) else { return };
    let ack = AttachResponse { message: Some(Message::Ack(ResultAck { key: Some(key) })) };
    if to_agent.send_timeout(Ok(ack), PATIENCE).await.is_err() {
        tracing::debug!(desktop_id = desktop.desktop_id, "an acknowledgement was not taken");
    }
}
