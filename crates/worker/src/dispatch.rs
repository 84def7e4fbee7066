//! Dispatches the targets of a batch to their agents.

use std::{sync::Arc, time::Instant};

use proto::{
    agent::{ExecutionKey, Order},
    order::Signer,
    scheduler::{Batch, DesktopKey, Lease, ReturnedTarget, TaskSpec},
    types::Script,
};

use telemetry::{metric, trace};
use tracing::Instrument as _;

use crate::{
    acknowledge,
    in_flight::InFlightTarget,
    order_proofs::{Answer, Part},
    outbox::{NotQueued, SharedOrder},
    report_queue::Item,
    state::Worker,
};

/// Number of targets of one task, from the first, whose desktops contribute spans to the trace.
/// More would flood it.
const TRACED_TARGETS: u32 = 1_000;

/// Dispatches the targets of connected desktops and returns the remaining ones at once. `scripts`
/// are those of the pull response of the batch.
pub(crate) async fn dispatch(worker: &Worker, batch: Batch, scripts: &[Arc<Script>], part: Option<Part<'_>>) {
    let carried = Some(batch.trace_context.as_str());
    let span = trace::child(carried, || {
        let (task_id, batch_id, targets) = (&batch.task_id, &batch.batch_id, batch.targets.len());
        tracing::info_span!(target: trace::TARGET, parent: None, "dispatch", %task_id, %batch_id, targets)
    });
    let trace_context = trace::carry(&span, carried).unwrap_or_default();
    hand_out_all(worker, Batch { trace_context, ..batch }, scripts, part).instrument(span).await;
}

/// Scripts of a task in order; `None` if the pull response lacks one.
fn scripts_of(spec: &TaskSpec, scripts: &[Arc<Script>]) -> Option<Arc<[Arc<Script>]>> {
    spec.script_indexes.iter().map(|index| scripts.get(*index as usize).cloned()).collect()
}

async fn hand_out_all(worker: &Worker, batch: Batch, scripts: &[Arc<Script>], part: Option<Part<'_>>) {
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
    let has_scripts = scripts.is_some();
    let scripts = scripts.unwrap_or_default();
    if !has_scripts {
        tracing::error!(task_id, batch_id, "batch returned: the pull response lacks one of its scripts");
    }
    worker.in_flight.open(Lease { task_id: task_id.clone(), batch_id: batch_id.clone(), epoch });
    let mut may_wait = true;
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
            ..order(&key, wave, &spec, deliver_by_unix_ms)
        };
        let order = SharedOrder { order, scripts: Arc::clone(&scripts) };
        let desktop =
            DesktopKey { project_id: spec.project_id.clone(), desktop_id: target.desktop_id.clone() };
        let agent_id = &target.agent_id;
        let held_for = HandOut { desktop, agent_id, batch_id: &batch_id, lease_until_unix_ms, may_wait };
        let sent = if has_scripts {
            hand_out(worker, key, held_for, order, part.map(|part| part.answer)).await
        } else {
            Err(NotSent::NotReached)
        };
        if let Err(cause) = sent {
            may_wait &= cause != NotSent::WorkerFull;
            let returned = ReturnedTarget {
                task_id: task_id.clone(),
                batch_id: batch_id.clone(),
                ordinal: target.ordinal,
                desktop_id: target.desktop_id,
                is_full: cause == NotSent::Full,
                ..ReturnedTarget::default()
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
    lease_until_unix_ms: i64,
    /// Whether the order may wait for room of the worker. One wait for each batch is enough.
    may_wait: bool,
}

/// Cause why an order was certainly not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotSent {
    /// The lease is over, or the agent is not connected.
    NotReached,
    /// The desktop has no room for orders.
    Full,
    /// The worker has no room for orders, because other agents do not read theirs.
    WorkerFull,
}

/// Sends an order.
///
/// # Errors
///
/// When it certainly was not sent.
async fn hand_out(
    worker: &Worker,
    key: ExecutionKey,
    to: HandOut<'_>,
    order: SharedOrder,
    signed: Option<&Answer>,
) -> Result<(), NotSent> {
    let HandOut { desktop, agent_id, batch_id, lease_until_unix_ms, may_wait } = to;
    let found = worker.registry.find_known(&desktop, agent_id);
    let (session, to_agent) = found.ok_or(NotSent::NotReached)?;
    // Before any look at the agent's room: an order in flight needs none.
    if !is_over(worker, lease_until_unix_ms) && worker.in_flight.adopt(&key, batch_id) {
        return Ok(());
    }
    if worker.registry.is_full(&desktop, session) {
        return Err(NotSent::Full);
    }
    // An agent refuses orders that are ahead of its deny-list.
    let list = signed.and_then(|_| worker.deny_lists.for_agents());
    if !worker.registry.show_deny_list(&desktop, session, list.as_ref()) {
        return Err(NotSent::Full);
    }
    // Reserves the channel first: a target recorded as in flight is certain to be sent, after its
    // signer.
    let place = match to_agent.reserve(&worker.order_room, &order, signed.is_some(), may_wait).await {
        Ok(place) => place,
        Err(NotQueued::Closed) => return Err(NotSent::NotReached),
        Err(NotQueued::WorkerFull) => return Err(NotSent::WorkerFull),
        Err(NotQueued::Full) => {
            worker.registry.set_full(&desktop, session, Instant::now());
            return Err(NotSent::Full);
        }
    };
    // A process that was suspended past the end of its lease must not use it: another worker may
    // hold the batch.
    if is_over(worker, lease_until_unix_ms) {
        return Err(NotSent::NotReached);
    }
    let held = InFlightTarget { batch_id: batch_id.to_owned(), desktop: desktop.clone(), session };
    worker.in_flight.hold(key.clone(), held);
    // A connection that closed before the target was recorded would never return it; one that
    // closes later will.
    if worker.registry.find(&desktop).is_none_or(|(current, _)| current != session) {
        worker.in_flight.release([&key]);
        return Err(NotSent::NotReached);
    }
    let signer = signed.filter(|answer| worker.registry.shows_first(&desktop, session, answer.signer));
    place.send(signer.map(|answer| Signer { certificate: answer.certificate().to_vec() }), order);
    acknowledge::follow_order(worker, &desktop, &to_agent);
    metric::ORDERS.increment(1, &[]);
    Ok(())
}

/// Creates an order without its scripts.
fn order(key: &ExecutionKey, wave: u32, spec: &TaskSpec, deliver_by_unix_ms: i64) -> Order {
    Order {
        key: Some(key.clone()),
        wave,
        scripts: Vec::new(),
        execution_timeout_ms: spec.execution_timeout_ms,
        deliver_by_unix_ms,
        query_only: false,
        first_script: 0,
        stop_script: None,
        success_exit_codes: spec.success_exit_codes.clone(),
        max_running: spec.max_running,
        run_as_user: spec.run_as_user.clone(),
        kill_left_processes: spec.kill_left_processes,
        reboot: spec.reboot.clone(),
        retried_task_ids: spec.retried_task_ids.clone(),
        trace_context: String::new(),
        script_parameters: spec.script_parameters.clone(),
        signed: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use proto::{
        agent::{AttachResponse, attach_response::Message},
        scheduler::Target,
        types::Desktop,
    };
    use time_sync::TimeSample;

    use super::*;
    use crate::{
        Config,
        outbox::{self, Outbox},
    };

    /// A worker with schedulers' time one day ahead of its machine, and the agent's end of a
    /// connection.
    fn worker_with_a_desktop() -> (Worker, chrono::DateTime<chrono::Utc>, Outbox) {
        let worker = Worker::new(Config::default(), String::new(), None);
        let now = worker.clock.now() + TimeDelta::days(1);
        worker.clock.answered(worker.clock.asks(), TimeSample { now, error: Duration::ZERO });
        let (to_agent, outbox) = outbox::channel(4);
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
        let group =
            tokio::time::timeout(Duration::from_secs(5), worker.reports.next_group(|_| false)).await.unwrap();
        assert!(matches!(&group[0].item, Item::Returned(returned) if !returned.handed));
    }

    #[tokio::test]
    async fn order_has_the_user_cleanup_and_originals_of_the_task() {
        let (worker, now, mut outbox) = worker_with_a_desktop();
        let mut batch = leased_until(now + TimeDelta::minutes(1));
        let spec = batch.spec.as_mut().unwrap();
        (spec.run_as_user, spec.kill_left_processes) = ("www-data".into(), true);
        spec.retried_task_ids = vec!["t0".into()];
        dispatch(&worker, batch, &[], None).await;
        let Ok(Ok(AttachResponse { message: Some(Message::Order(order)) })) = outbox.try_recv() else {
            panic!("no order")
        };
        assert_eq!((order.run_as_user.as_str(), order.kill_left_processes), ("www-data", true));
        assert_eq!(order.retried_task_ids, ["t0"]);
    }

    #[tokio::test]
    async fn of_a_lease_that_is_over_nothing_is_handed_out() {
        let (worker, now, mut outbox) = worker_with_a_desktop();
        dispatch(&worker, leased_until(now - TimeDelta::milliseconds(1)), &[], None).await;
        assert!(outbox.try_recv().is_err());
        let group =
            tokio::time::timeout(Duration::from_secs(5), worker.reports.next_group(|_| false)).await.unwrap();
        let [Item::Returned(returned)] = group.iter().map(|waiting| &waiting.item).collect::<Vec<_>>()[..]
        else {
            panic!("not returned: {group:?}")
        };
        assert!(!returned.handed);
        assert!(worker.in_flight.leases().is_empty());
        dispatch(&worker, leased_until(now + TimeDelta::minutes(1)), &[], None).await;
        assert!(matches!(outbox.try_recv(), Ok(Ok(_))));
    }

    #[tokio::test]
    async fn batch_reclaimed_for_its_worker_is_renewed() {
        let (worker, now, mut outbox) = worker_with_a_desktop();
        let first = leased_until(now + TimeDelta::minutes(1));
        let second = Batch { batch_id: "b2".into(), epoch: 1, ..first.clone() };
        dispatch(&worker, first, &[], None).await;
        dispatch(&worker, second, &[], None).await;
        assert!(matches!(outbox.try_recv(), Ok(Ok(_))));
        assert!(outbox.try_recv().is_err(), "the agent has the order");
        let leases: Vec<String> = worker.in_flight.leases().into_iter().map(|lease| lease.batch_id).collect();
        assert_eq!(leases, ["b2"]);
        let key = ExecutionKey { task_id: "t".into(), ordinal: 0, attempt: 0 };
        let desktop = DesktopKey { project_id: "p".into(), desktop_id: "d".into() };
        let batch_id = worker.in_flight.batch_of(&key, &desktop);
        assert_eq!(batch_id.as_deref(), Some("b2"), "the result names its lease");
        worker.in_flight.settle([(&key, &desktop)]);
        assert!(worker.in_flight.leases().is_empty());
    }

    #[tokio::test]
    async fn full_channel_adopts_targets_in_flight() {
        let (worker, now, _outbox) = worker_with_a_desktop();
        let first = leased_until(now + TimeDelta::minutes(1));
        dispatch(&worker, first.clone(), &[], None).await;
        let desktop = DesktopKey { project_id: "p".into(), desktop_id: "d".into() };
        let (session, to_agent) = worker.registry.find(&desktop).unwrap();
        while to_agent.try_send(Ok(AttachResponse::default())).is_ok() {}
        worker.registry.set_full(&desktop, session, Instant::now());
        dispatch(&worker, Batch { batch_id: "b2".into(), ..first }, &[], None).await;
        assert!(worker.has_reported(), "the target is not returned");
        assert_eq!(worker.in_flight.leases().len(), 1);
    }
}
