//! Reports results and returned targets in groups: entries that arrive during a report form the
//! next group.
//!
//! A task that the schedulers cannot store does not block the results of other tasks. Its results
//! are reported again a bounded number of times, and then stay in their agents' journals.

use std::{collections::HashSet, sync::Arc, time::Duration};

use proto::{
    agent::{AttachResponse, ExecutionKey, ResultAck, attach_response::Message},
    scheduler::{DesktopKey, ReportRequest, ReportResponse, TargetResult},
};

use crate::{
    report_queue::{Item, Waiting},
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Maximum number of reports of a result whose task cannot be stored.
const MAX_TRIES: u8 = 8;

/// Reports group after group until the queue is closed.
pub(crate) async fn run(worker: &Arc<Worker>, mut client: Client) {
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

/// Reports a group until a scheduler answers. The group keeps its room in the queue until then.
async fn report(worker: &Arc<Worker>, client: &mut Client, group: Vec<Waiting>) {
    let request = request(worker, &group);
    let mut backoff = backoff();
    loop {
        match client.report(with_deadline(request.clone(), CALL_TIMEOUT)).await {
            Ok(answer) => return settle(worker, group, answer.into_inner()).await,
            Err(status) if is_hopeless(status.code()) => {
                tracing::error!(%status, "report refused; its results stay in the agents' journals");
                worker.in_flight.release(group.iter().filter_map(|waiting| waiting.item.key()));
                return;
            }
            Err(status) => {
                tracing::warn!(%status, "report failed, retrying");
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}

fn request(worker: &Worker, group: &[Waiting]) -> ReportRequest {
    let mut request = ReportRequest { worker_id: worker.worker_id.clone(), ..ReportRequest::default() };
    for waiting in group {
        match &waiting.item {
            Item::Result { result, .. } => request.results.push(TargetResult::clone(result)),
            Item::Returned(target) => request.returned.push(target.clone()),
        }
    }
    request
}

/// Acknowledges stored and refused results, and queues unstored ones again.
async fn settle(worker: &Arc<Worker>, group: Vec<Waiting>, answer: ReportResponse) {
    for refused in answer.refused {
        tracing::warn!(
            task_id = refused.task_id,
            ordinal = refused.ordinal,
            reason = refused.reason,
            "result refused"
        );
    }
    let failed: HashSet<String> = answer.failed_task_ids.into_iter().collect();
    let (unstored, settled): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|waiting| failed.contains(waiting.item.task_id()));
    worker.in_flight.release(settled.iter().filter_map(|waiting| waiting.item.key()));
    for waiting in settled {
        if let Item::Result { key, desktop, span, .. } = waiting.item {
            drop(span);
            acknowledge(worker, key, &desktop).await;
        }
    }
    let (again, given_up): (Vec<_>, Vec<_>) =
        unstored.into_iter().partition(|waiting| waiting.tries < MAX_TRIES);
    if !given_up.is_empty() {
        tracing::error!(
            tasks = ?failed, results = given_up.len(),
            "results of these tasks cannot be stored and stay in the agents' journals"
        );
        worker.in_flight.release(given_up.iter().filter_map(|waiting| waiting.item.key()));
    }
    if let Some(pause) = again.iter().map(|waiting| backoff().after(waiting.tries.into())).max() {
        report_later(worker, again, pause);
    }
}

/// Requeues items after a pause, without blocking a reporter. They keep their room in the queue.
fn report_later(worker: &Arc<Worker>, items: Vec<Waiting>, pause: Duration) {
    let (worker, in_flight) = (Arc::clone(worker), worker.report_in_flight());
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        for waiting in items {
            worker.reports.send_again(waiting).await;
        }
        drop(in_flight);
    });
}

/// Codes that a retry of the same message would return again.
fn is_hopeless(code: tonic::Code) -> bool {
    matches!(code, tonic::Code::InvalidArgument | tonic::Code::Unimplemented | tonic::Code::OutOfRange)
}

/// Acknowledges a result on the desktop's present connection. A lost acknowledgement costs one more
/// report.
async fn acknowledge(worker: &Worker, key: ExecutionKey, desktop: &DesktopKey) {
    const TIMEOUT: Duration = Duration::from_millis(100);
    let Some((_, to_agent)) = worker.registry.find(desktop) else { return };
    let ack = AttachResponse { message: Some(Message::Ack(ResultAck { key: Some(key) })) };
    if to_agent.send_timeout(Ok(ack), TIMEOUT).await.is_err() {
        tracing::debug!(
            desktop_id = desktop.desktop_id,
            "acknowledgement not sent: the agent's channel is full"
        );
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tracing::Span;

    use super::*;
    use crate::{Config, in_flight::InFlightTarget, registry::SessionId};

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// Queues a result of a task and takes it like the reporter; it counts as in flight.
    async fn take_result(worker: &Worker, task_id: &str) -> Vec<Waiting> {
        let key = ExecutionKey { task_id: task_id.into(), ordinal: 0, attempt: 1 };
        let desktop = DesktopKey::default();
        worker.in_flight.hold(
            key.clone(),
            InFlightTarget { batch_id: "b".into(), desktop: desktop.clone(), session: SessionId(1) },
        );
        let result = Box::new(TargetResult { task_id: task_id.into(), ..TargetResult::default() });
        worker.reports.send(Item::Result { key, desktop, result, span: Span::none() }).await;
        worker.reports.next_group().await
    }

    fn failed(task_id: &str) -> ReportResponse {
        ReportResponse { failed_task_ids: vec![task_id.into()], ..ReportResponse::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn unstored_task_is_reported_again_without_the_others() {
        let worker = Arc::new(Worker::new(Config::default(), String::new(), None));
        let mut group = take_result(&worker, "bad").await;
        group.extend(take_result(&worker, "good").await);
        settle(&worker, group, failed("bad")).await;
        assert_eq!(worker.in_flight.len(), 1, "only the stored result is released");
        assert!(!worker.has_reported(), "a drain waits for the unstored result");
        let again = tokio::time::timeout(TIMEOUT, worker.reports.next_group()).await.unwrap();
        assert_eq!(again.iter().map(|waiting| waiting.item.task_id()).collect::<Vec<_>>(), ["bad"]);
    }

    #[tokio::test(start_paused = true)]
    async fn task_that_is_never_stored_is_given_up() {
        let worker = Arc::new(Worker::new(Config::default(), String::new(), None));
        let mut group = take_result(&worker, "bad").await;
        for _ in 0..MAX_TRIES {
            settle(&worker, group, failed("bad")).await;
            group = tokio::time::timeout(TIMEOUT, worker.reports.next_group()).await.unwrap();
        }
        settle(&worker, group, failed("bad")).await;
        assert_eq!(worker.in_flight.len(), 0, "the lease is no longer renewed");
        tokio::time::sleep(TIMEOUT).await;
        assert!(worker.reports.next_group().now_or_never().is_none());
        assert!(worker.has_reported());
    }
}
