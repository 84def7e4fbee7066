//! Dispatches the targets of a batch to their agents.

use std::time::Instant;

use proto::{
    agent::{AttachResponse, ExecutionKey, Order, attach_response::Message},
    order::Signer,
    scheduler::{Batch, DesktopKey, Lease, ReturnedTarget, TaskSpec},
    types::Script,
};

use telemetry::{metric, trace};
use tokio::sync::mpsc::error::TrySendError;
use tracing::Instrument as _;

use crate::{
    in_flight::InFlightTarget,
    order_proofs::{Answer, Part},
    report_queue::Item,
    state::Worker,
};

/// Number of targets of one task, from the first, whose desktops contribute spans to the trace.
/// More would flood it.
const TRACED_TARGETS: u32 = 1_000;

/// Dispatches the targets of connected desktops and returns the remaining ones at once. `scripts`
/// are those of the pull response of the batch.
pub(crate) async fn dispatch(worker: &Worker, batch: Batch, scripts: &[Script], part: Option<Part<'_>>) {
    let carried = Some(batch.trace_context.as_str());
    let span = trace::child(carried, || {
        let (task_id, batch_id, targets) = (&batch.task_id, &batch.batch_id, batch.targets.len());
        tracing::info_span!(target: trace::TARGET, parent: None, "dispatch", %task_id, %batch_id, targets)
    });
    let trace_context = trace::carry(&span, carried).unwrap_or_default();
    hand_out_all(worker, Batch { trace_context, ..batch }, scripts, part).instrument(span).await;
}

/// Scripts of a task in order; `None` if the pull response lacks one.
fn scripts_of(spec: &TaskSpec, scripts: &[Script]) -> Option<Vec<Script>> {
    spec.script_indexes.iter().map(|index| scripts.get(*index as usize).cloned()).collect()
}

async fn hand_out_all(worker: &Worker, batch: Batch, scripts: &[Script], part: Option<Part<'_>>) {
    let Batch {
        task_id,
        batch_id,
        epoch,
        wave,
        targets,
        spec,
        deliver_by_unix_ms,
        query_only,
        lease_until_unix_ms,
        trace_context,
        signed_terms,
        ..
    } = batch;
    let spec = spec.unwrap_or_default();
    let scripts = scripts_of(&spec, scripts);
    if scripts.is_none() {
        tracing::error!(task_id, batch_id, "batch returned: the pull response lacks one of its scripts");
    }
    worker.in_flight.open(Lease { task_id: task_id.clone(), batch_id: batch_id.clone(), epoch });
    for (place, mut target) in (0..).zip(targets) {
        let key = ExecutionKey { task_id: task_id.clone(), ordinal: target.ordinal, attempt: spec.attempt };
        let first_script = target.first_script;
        let stop_script = target.stop_script;
        let is_traced = target.ordinal < TRACED_TARGETS;
        let signed = part.map(|part| part.order(place, &signed_terms, &mut target));
        let order = Order {
            query_only,
            first_script,
            stop_script,
            trace_context: if is_traced { trace_context.clone() } else { String::new() },
            signed,
            ..order(&key, wave, &spec, scripts.as_deref().unwrap_or_default(), deliver_by_unix_ms)
        };
        let desktop =
            DesktopKey { project_id: spec.project_id.clone(), desktop_id: target.desktop_id.clone() };
        // A process that was suspended past the end of its lease must not use it: another worker
        // may hold the batch.
        let is_ours = scripts.is_some() && !is_over(worker, lease_until_unix_ms);
        let held_for = HandOut { desktop, agent_id: &target.agent_id, batch_id: &batch_id };
        let sent = if is_ours {
            hand_out(worker, key, held_for, order, part.map(|part| part.answer))
        } else {
            Err(NotSent::NotReached)
        };
        if let Err(cause) = sent {
            let returned = ReturnedTarget {
                task_id: task_id.clone(),
                batch_id: batch_id.clone(),
                ordinal: target.ordinal,
                desktop_id: target.desktop_id,
                handed: false,
                given_back: false,
                is_full: cause == NotSent::Full,
            };
            worker.reports.send(Item::Returned(returned)).await;
        }
    }
    worker.in_flight.close_if_empty(&batch_id);
}

/// Whether a lease has ended, by the schedulers' time.
fn is_over(worker: &Worker, lease_until_unix_ms: i64) -> bool {
    let ends = proto::unix_ms_opt(lease_until_unix_ms);
    ends.zip(worker.clock.sample()).is_some_and(|(ends, sample)| sample.now >= ends)
}

/// Recipient of an order, and its batch.
struct HandOut<'a> {
    desktop: DesktopKey,
    /// Only this agent of the desktop may start the target.
    agent_id: &'a str,
    batch_id: &'a str,
}

/// Cause why an order was certainly not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotSent {
    /// The lease is over, or the agent is not connected.
    NotReached,
    /// The desktop has no room for orders.
    Full,
}

/// Sends an order.
///
/// # Errors
///
/// When it certainly was not sent.
fn hand_out(
    worker: &Worker,
    key: ExecutionKey,
    to: HandOut<'_>,
    order: Order,
    signed: Option<&Answer>,
) -> Result<(), NotSent> {
    let HandOut { desktop, agent_id, batch_id } = to;
    let found = worker.registry.find_known(&desktop, agent_id);
    let (session, to_agent) = found.ok_or(NotSent::NotReached)?;
    if worker.registry.is_full(&desktop, session) {
        return Err(NotSent::Full);
    }
    // Reserves the channel first: a target recorded as in flight is certain to be sent, after its
    // signer.
    let messages = if signed.is_some() { 2 } else { 1 };
    let permits = match to_agent.try_reserve_many(messages) {
        Ok(permits) => permits,
        Err(TrySendError::Closed(())) => return Err(NotSent::NotReached),
        Err(TrySendError::Full(())) => {
            worker.registry.set_full(&desktop, session, Instant::now());
            return Err(NotSent::Full);
        }
    };
    let held = InFlightTarget { batch_id: batch_id.to_owned(), desktop: desktop.clone(), session };
    if !worker.in_flight.hold(key.clone(), held) {
        // Already in flight from an earlier batch: its result settles this batch too.
        return Ok(());
    }
    // A connection that closed before the target was recorded would never return it; one that
    // closes later will.
    if worker.registry.find(&desktop).is_none_or(|(current, _)| current != session) {
        worker.in_flight.release([&key]);
        return Err(NotSent::NotReached);
    }
    let signer = signed.filter(|answer| worker.registry.shows_first(&desktop, session, answer.signer));
    let signer = signer.map(|answer| Message::Signer(Signer { certificate: answer.certificate().to_vec() }));
    for (permit, message) in permits.zip(signer.into_iter().chain([Message::Order(order)])) {
        permit.send(Ok(AttachResponse { message: Some(message) }));
    }
    metric::ORDERS.increment(1, &[]);
    Ok(())
}

fn order(
    key: &ExecutionKey,
    wave: u32,
    spec: &TaskSpec,
    scripts: &[Script],
    deliver_by_unix_ms: i64,
) -> Order {
    Order {
        key: Some(key.clone()),
        wave,
        scripts: scripts.to_vec(),
        execution_timeout_ms: spec.execution_timeout_ms,
        deliver_by_unix_ms,
        query_only: false,
        first_script: 0,
        stop_script: None,
        success_exit_codes: spec.success_exit_codes.clone(),
        max_running: spec.max_running,
        run_as_user: spec.run_as_user.clone(),
        kill_left_processes: spec.kill_left_processes,
        trace_context: String::new(),
        signed: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use proto::{scheduler::Target, types::Desktop};
    use time_sync::TimeSample;
    use tokio::sync::mpsc;

    use super::*;
    use crate::Config;

    /// A worker with schedulers' time one day ahead of its machine, and the agent's end of a
    /// connection.
    fn worker_with_a_desktop()
    -> (Worker, chrono::DateTime<chrono::Utc>, mpsc::Receiver<Result<AttachResponse, tonic::Status>>) {
        let worker = Worker::new(Config::default(), String::new(), None);
        let now = worker.clock.now() + TimeDelta::days(1);
        worker.clock.answered(worker.clock.asks(), TimeSample { now, error: Duration::ZERO });
        let (to_agent, outbox) = mpsc::channel(4);
        let key = DesktopKey { project_id: "p".into(), desktop_id: "d".into() };
        worker.registry.connect(key.clone(), Desktop::default(), to_agent).unwrap();
        worker.registry.is_known(&key, &Desktop::default());
        (worker, now, outbox)
    }

    fn leased_until(at: chrono::DateTime<chrono::Utc>) -> Batch {
        Batch {
            task_id: "t".into(),
            batch_id: "b".into(),
            targets: vec![Target { desktop_id: "d".into(), ..Target::default() }],
            spec: Some(TaskSpec { project_id: "p".into(), ..TaskSpec::default() }),
            lease_until_unix_ms: proto::unix_ms(Some(at)),
            ..Batch::default()
        }
    }

    #[tokio::test]
    async fn target_of_another_agent_is_given_back() {
        let (worker, now, mut outbox) = worker_with_a_desktop();
        let mut batch = leased_until(now + TimeDelta::minutes(1));
        batch.targets[0].agent_id = "former".into();
        dispatch(&worker, batch, &[], None).await;
        assert!(outbox.try_recv().is_err(), "the connected agent has another id");
        let group = tokio::time::timeout(Duration::from_secs(5), worker.reports.next_group()).await.unwrap();
        assert!(matches!(&group[0].item, Item::Returned(returned) if !returned.handed));
    }

    #[tokio::test]
    async fn order_has_the_user_and_the_cleanup_of_the_task() {
        let (worker, now, mut outbox) = worker_with_a_desktop();
        let mut batch = leased_until(now + TimeDelta::minutes(1));
        let spec = batch.spec.as_mut().unwrap();
        (spec.run_as_user, spec.kill_left_processes) = ("www-data".into(), true);
        dispatch(&worker, batch, &[], None).await;
        let Ok(Ok(AttachResponse { message: Some(Message::Order(order)) })) = outbox.try_recv() else {
            panic!("no order")
        };
        assert_eq!((order.run_as_user.as_str(), order.kill_left_processes), ("www-data", true));
    }

    #[tokio::test]
    async fn of_a_lease_that_is_over_nothing_is_handed_out() {
        let (worker, now, mut outbox) = worker_with_a_desktop();
        dispatch(&worker, leased_until(now - TimeDelta::milliseconds(1)), &[], None).await;
        assert!(outbox.try_recv().is_err());
        let group = tokio::time::timeout(Duration::from_secs(5), worker.reports.next_group()).await.unwrap();
        let [Item::Returned(returned)] = group.iter().map(|waiting| &waiting.item).collect::<Vec<_>>()[..]
        else {
            panic!("not returned: {group:?}")
        };
        assert!(!returned.handed);
        assert!(worker.in_flight.leases().is_empty());
        dispatch(&worker, leased_until(now + TimeDelta::minutes(1)), &[], None).await;
        assert!(matches!(outbox.try_recv(), Ok(Ok(_))));
    }
}
