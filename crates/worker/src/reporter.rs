//! Reports results and returned targets in groups: entries that arrive during a report form the
//! next group.
//!
//! A task that the schedulers cannot store does not block the results of other tasks. Its results
//! are reported again a bounded number of times, and then stay in their agents' journals.

use std::{collections::HashSet, error::Error as _, sync::Arc, time::Duration};

use proto::{
    agent::ResultAck,
    scheduler::{DesktopKey, ReportRequest, ReportResponse, TargetResult},
};
use tonic::{Code, Response, Status};

use crate::{
    acknowledge,
    report_queue::{Item, Waiting},
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Maximum number of reports of a result whose task cannot be stored.
const MAX_TRIES: u8 = 8;
/// Number of unexplained failures after which a report is halved.
const MAX_UNEXPLAINED: u32 = 3;

/// Reports group after group until the queue is closed.
pub(crate) async fn run(worker: &Arc<Worker>, client: Client) {
    loop {
        let group = worker.reports.next_group(|held| worker.in_flight.len() > held).await;
        if group.is_empty() {
            return;
        }
        report(worker, &client, group).await;
    }
}

/// Reports a group until a scheduler answers. The group keeps its room in the queue until then.
///
/// If the schedulers refuse a report for no known reason, it is halved until the item that they
/// refuse is alone, and that one is given up.
async fn report(worker: &Arc<Worker>, client: &Client, group: Vec<Waiting>) {
    report_with(worker, group, |request| {
        let mut client = client.clone();
        async move { client.report(with_deadline(request, CALL_TIMEOUT)).await.map(Response::into_inner) }
    })
    .await;
}

async fn report_with<F, T>(worker: &Arc<Worker>, group: Vec<Waiting>, send: F)
where
    F: Fn(ReportRequest) -> T,
    T: Future<Output = Result<ReportResponse, Status>>,
{
    let mut groups = vec![group];
    while let Some(mut group) = groups.pop() {
        match answer(worker, &group, &send).await {
            Ok(answer) => settle(worker, group, answer).await,
            Err(status) if group.len() > 1 => {
                tracing::warn!(%status, items = group.len(), "report refused, halving it");
                let last = group.split_off(group.len() / 2);
                groups.extend([last, group]);
            }
            Err(status) => {
                tracing::error!(
                    %status, task_id = group.first().map(|waiting| waiting.item.task_id()),
                    "report of one item refused; a result stays in its agent's journal"
                );
                worker.in_flight.settle(group.iter().filter_map(|waiting| waiting.item.reported()));
            }
        }
    }
}

/// Sends a report until a scheduler answers.
///
/// # Errors
///
/// When the schedulers refuse the report for what it holds.
async fn answer<F, T>(worker: &Worker, group: &[Waiting], send: F) -> Result<ReportResponse, Status>
where
    F: Fn(ReportRequest) -> T,
    T: Future<Output = Result<ReportResponse, Status>>,
{
    let request = request(worker, group);
    let (mut backoff, mut unexplained) = (backoff(), 0);
    loop {
        let status = match send(request.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        unexplained += u32::from(is_unexplained(&status));
        if is_hopeless(status.code()) || unexplained >= MAX_UNEXPLAINED {
            return Err(status);
        }
        tracing::warn!(%status, "report failed, retrying");
        tokio::time::sleep(backoff.pause()).await;
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
    let mut unauthenticated = HashSet::new();
    for refused in answer.refused {
        tracing::warn!(
            task_id = refused.task_id,
            ordinal = refused.ordinal,
            reason = refused.reason,
            "result refused"
        );
        if let Some(desktop) = refused.desktop.filter(|_| refused.unauthenticated) {
            unauthenticated.insert((refused.task_id, refused.ordinal, desktop));
        }
    }
    let group = without_unauthenticated(worker, group, &unauthenticated);
    let failed: HashSet<String> = answer.failed_task_ids.into_iter().collect();
    let (unstored, settled): (Vec<_>, Vec<_>) =
        group.into_iter().partition(|waiting| failed.contains(waiting.item.task_id()));
    // First, so that a drain sends them before it closes the connections of idle desktops.
    acknowledge_all(worker, &settled);
    worker.in_flight.settle(settled.iter().filter_map(|waiting| waiting.item.reported()));
    drop(settled);
    let (again, given_up): (Vec<_>, Vec<_>) =
        unstored.into_iter().partition(|waiting| waiting.tries < MAX_TRIES);
    if !given_up.is_empty() {
        tracing::error!(
            tasks = ?failed, results = given_up.len(),
            "results of these tasks cannot be stored and stay in the agents' journals"
        );
        worker.in_flight.settle(given_up.iter().filter_map(|waiting| waiting.item.reported()));
    }
    if let Some(pause) = again.iter().map(|waiting| backoff().after(waiting.tries.into())).max() {
        report_later(worker, again, pause);
    }
}

/// Drops results that the schedulers could not authenticate, without an acknowledgement, and closes
/// the connections of their agents: they attach again and send the results under a new key.
fn without_unauthenticated(
    worker: &Worker,
    group: Vec<Waiting>,
    unauthenticated: &HashSet<(String, u32, DesktopKey)>,
) -> Vec<Waiting> {
    if unauthenticated.is_empty() {
        return group;
    }
    let is_dropped = |waiting: &Waiting| match &waiting.item {
        Item::Result { key, desktop, .. } => {
            unauthenticated.contains(&(key.task_id.clone(), key.ordinal, desktop.clone()))
        }
        Item::Returned(_) => false,
    };
    let (dropped, group): (Vec<_>, Vec<_>) = group.into_iter().partition(is_dropped);
    for waiting in dropped {
        if let Item::Result { desktop, .. } = waiting.item {
            worker.registry.end_unauthenticated(&desktop);
            if !worker.registry.is_connected(&desktop) {
                worker.presence.disconnected(desktop);
            }
        }
    }
    group
}

/// Requeues items after a pause, without blocking a reporter. They keep their room in the queue.
fn report_later(worker: &Arc<Worker>, items: Vec<Waiting>, pause: Duration) {
    let worker = Arc::clone(worker);
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        for waiting in items {
            worker.reports.send_again(waiting).await;
        }
    });
}

/// Whether a scheduler answered and does not know why it failed. The status of a broken connection
/// has the error of the connection as its source.
fn is_unexplained(status: &Status) -> bool {
    let code = status.code();
    matches!(code, Code::Internal | Code::Unknown | Code::DataLoss) && status.source().is_none()
}

/// Codes that a retry of the same message would return again.
fn is_hopeless(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::Unimplemented | Code::OutOfRange)
}

/// Acknowledges results on the present connections of their desktops.
fn acknowledge_all(worker: &Worker, settled: &[Waiting]) {
    for waiting in settled {
        if let Item::Result { key, desktop, result, .. } = &waiting.item {
            let scripts = u32::try_from(result.scripts.len()).unwrap_or(u32::MAX);
            let ack = ResultAck { key: Some(key.clone()), scripts };
            acknowledge::acknowledge(worker, desktop.clone(), ack, waiting.item.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::FutureExt as _;
    use proto::{
        agent::{ExecutionKey, attach_response::Message},
        types::Desktop,
    };
    use tokio::time::timeout;
    use tracing::Span;

    use super::*;
    use crate::{Config, in_flight::InFlightTarget, outbox, registry::SessionId};

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// Queues a result of a task and takes it like the reporter; it counts as in flight.
    async fn take_result(worker: &Worker, task_id: &str) -> Vec<Waiting> {
        take_result_of(worker, task_id, DesktopKey::default()).await
    }

    async fn take_result_of(worker: &Worker, task_id: &str, desktop: DesktopKey) -> Vec<Waiting> {
        let key = ExecutionKey { task_id: task_id.into(), ordinal: 0, attempt: 1 };
        worker.in_flight.hold(
            key.clone(),
            InFlightTarget { batch_id: "b".into(), desktop: desktop.clone(), session: SessionId(1) },
        );
        let result = Box::new(TargetResult { task_id: task_id.into(), ..TargetResult::default() });
        worker.reports.send(Item::Result { key, desktop, result, _span: Span::none() }).await;
        worker.reports.next_group(|_| false).await
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
        let again = timeout(TIMEOUT, worker.reports.next_group(|_| false)).await.unwrap();
        assert_eq!(again.iter().map(|waiting| waiting.item.task_id()).collect::<Vec<_>>(), ["bad"]);
    }

    #[tokio::test(start_paused = true)]
    async fn result_for_another_desktop_settles_nothing() {
        let worker = Arc::new(Worker::new(Config::default(), String::new(), None));
        let desktop = |id: &str| DesktopKey { desktop_id: id.into(), ..DesktopKey::default() };
        let held = InFlightTarget { batch_id: "b".into(), desktop: desktop("own"), session: SessionId(1) };
        let key = ExecutionKey { task_id: "t".into(), ordinal: 0, attempt: 1 };
        worker.in_flight.hold(key.clone(), held);
        assert_eq!(worker.in_flight.batch_of(&key, &desktop("liar")), None);
        let result = Box::new(TargetResult { task_id: "t".into(), ..TargetResult::default() });
        let of =
            |desktop| Item::Result { key: key.clone(), desktop, result: result.clone(), _span: Span::none() };
        worker.reports.send(of(desktop("liar"))).await;
        settle(&worker, worker.reports.next_group(|_| false).await, ReportResponse::default()).await;
        assert_eq!(worker.in_flight.len(), 1, "the target of the other desktop is still in flight");
        worker.reports.send(of(desktop("own"))).await;
        settle(&worker, worker.reports.next_group(|_| false).await, ReportResponse::default()).await;
        assert_eq!(worker.in_flight.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn unauthenticated_result_is_not_acknowledged() {
        let worker = Arc::new(Worker::new(Config::default(), String::new(), None));
        let desktop = |id: &str| DesktopKey { desktop_id: id.into(), ..DesktopKey::default() };
        let attach = |id: &str| {
            let (to_agent, outbox) = outbox::channel(8);
            worker.registry.connect(desktop(id), Desktop::default(), to_agent).unwrap();
            outbox
        };
        let (mut refused, mut other) = (attach("refused"), attach("other"));
        let mut group = take_result_of(&worker, "task", desktop("refused")).await;
        group.extend(take_result_of(&worker, "another", desktop("other")).await);
        let refusal = proto::scheduler::Refused {
            task_id: "task".into(),
            unauthenticated: true,
            desktop: Some(desktop("refused")),
            ..proto::scheduler::Refused::default()
        };
        settle(&worker, group, ReportResponse { refused: vec![refusal], ..ReportResponse::default() }).await;
        assert_eq!(refused.try_recv().unwrap().unwrap_err().code(), Code::Unavailable);
        assert!(!worker.registry.is_connected(&desktop("refused")), "the agent attaches again");
        acknowledge::flush(&worker);
        assert!(matches!(other.try_recv().unwrap().unwrap().message, Some(Message::Ack(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn task_that_is_never_stored_is_given_up() {
        let worker = Arc::new(Worker::new(Config::default(), String::new(), None));
        let mut group = take_result(&worker, "bad").await;
        for _ in 0..MAX_TRIES {
            settle(&worker, group, failed("bad")).await;
            group = timeout(TIMEOUT, worker.reports.next_group(|_| false)).await.unwrap();
        }
        settle(&worker, group, failed("bad")).await;
        assert_eq!(worker.in_flight.len(), 0, "the lease is no longer renewed");
        tokio::time::sleep(TIMEOUT).await;
        assert!(worker.reports.next_group(|_| false).now_or_never().is_none());
        assert!(worker.has_reported());
    }

    #[tokio::test(start_paused = true)]
    async fn item_that_every_report_fails_with_is_given_up_alone() {
        let worker = Arc::new(Worker::new(Config::default(), String::new(), None));
        let mut group = Vec::new();
        for number in 0..9 {
            group.extend(take_result(&worker, &format!("task-{number}")).await);
        }
        let stored = RefCell::new(Vec::new());
        report_with(&worker, group, async |request| {
            if request.results.iter().any(|result| result.task_id == "task-4") {
                return Err(Status::internal("a fault that nobody expects"));
            }
            stored.borrow_mut().extend(request.results.into_iter().map(|result| result.task_id));
            Ok(ReportResponse::default())
        })
        .await;
        let others = (0..9).filter(|number| *number != 4).map(|number| format!("task-{number}"));
        assert_eq!(stored.into_inner(), others.collect::<Vec<_>>());
        assert_eq!(worker.in_flight.len(), 0);
        assert!(worker.has_reported());
    }

    #[test]
    fn broken_connections_are_no_fault_of_a_report() {
        let broken = std::io::Error::other("connection reset");
        assert!(!is_unexplained(&Status::from_error(Box::new(broken))));
        assert!(!is_unexplained(&Status::unavailable("the database does not answer")));
        assert!(is_unexplained(&Status::internal("")) && is_unexplained(&Status::unknown("")));
    }
}
