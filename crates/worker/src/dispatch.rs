//! Hands a batch's targets to their agents.

use proto::{
    agent::{AttachResponse, ExecutionKey, Order, attach_response::Message},
    order::Signer,
    scheduler::{Batch, DesktopKey, Lease, ReturnedTarget, TaskSpec},
};

use telemetry::metric;

use crate::{
    ledger::Held,
    reports::Item,
    shared::Worker,
    signed::{Answer, Part},
};

/// Hands out what can be; gives back what cannot, so that nobody waits for a desktop that is not here.
pub(crate) async fn dispatch(worker: &Worker, batch: Batch, part: Option<Part<'_>>) {
    let Batch {
        task_id,
        batch_id,
        epoch,
        wave,
        targets,
        spec,
        deliver_by_unix_ms,
        answer_only,
        lease_until_unix_ms,
        signed_terms,
        ..
    } = batch;
    let spec = spec.unwrap_or_default();
    worker.ledger.open(Lease { task_id: task_id.clone(), batch_id: batch_id.clone(), epoch });
    for (place, mut target) in (0..).zip(targets) {
        let key = ExecutionKey { task_id: task_id.clone(), ordinal: target.ordinal, attempt: spec.attempt };
        let first_script = target.first_script;
        let stop_script = target.stop_script;
        let signed = part.map(|part| part.order(place, &signed_terms, &mut target));
        let order = Order {
            answer_only,
            first_script,
            stop_script,
            signed,
            ..order(&key, wave, &spec, deliver_by_unix_ms)
        };
        let desktop =
            DesktopKey { project_id: spec.project_id.clone(), desktop_id: target.desktop_id.clone() };
        // A process that slept over the end of its lease must not act on it: others have the batch by now.
        let is_ours = !is_over(worker, lease_until_unix_ms);
        if !(is_ours && hand_out(worker, key, desktop, &batch_id, order, part.map(|part| part.answer))) {
            let returned = ReturnedTarget {
                task_id: task_id.clone(),
                batch_id: batch_id.clone(),
                ordinal: target.ordinal,
                desktop_id: target.desktop_id,
                handed: false,
            };
            worker.reports.send(Item::Returned(returned)).await;
        }
    }
    worker.ledger.close_if_empty(&batch_id);
}

/// Whether a lease has ended, by the schedulers' time.
fn is_over(worker: &Worker, lease_until_unix_ms: i64) -> bool {
    let ends = proto::unix_ms_opt(lease_until_unix_ms);
    ends.zip(worker.clock.told()).is_some_and(|(ends, told)| told.now >= ends)
}

/// False when the order certainly did not leave.
fn hand_out(
    worker: &Worker,
    key: ExecutionKey,
    desktop: DesktopKey,
    batch_id: &str,
    order: Order,
    signed: Option<&Answer>,
) -> bool {
    let Some((session, to_agent)) = worker.registry.find(&desktop) else { return false };
    // Permits first: what is noted as in hand must be certain to leave, and its signer before it.
    let messages = if signed.is_some() { 2 } else { 1 };
    let Ok(permits) = to_agent.try_reserve_many(messages) else { return false };
    let held = Held { batch_id: batch_id.to_owned(), desktop: desktop.clone(), session };
    if !worker.ledger.hold(key.clone(), held) {
        // In hand from an earlier batch: its result settles this one too.
        return true;
    }
    // A connection that ended before we noted the target would never give it back; one that ends from now on will.
    if worker.registry.find(&desktop).is_none_or(|(current, _)| current != session) {
        worker.ledger.release([&key]);
        return false;
    }
    let signer = signed.filter(|answer| worker.registry.shows_first(&desktop, session, answer.signer));
    let signer = signer.map(|answer| Message::Signer(Signer { certificate: answer.certificate().to_vec() }));
    for (permit, message) in permits.zip(signer.into_iter().chain([Message::Order(order)])) {
        permit.send(Ok(AttachResponse { message: Some(message) }));
    }
    metric::ORDERS.count(1, &[]);
    true
}

fn order(key: &ExecutionKey, wave: u32, spec: &TaskSpec, deliver_by_unix_ms: i64) -> Order {
    Order {
        key: Some(key.clone()),
        wave,
        scripts: spec.scripts.clone(),
        execution_timeout_ms: spec.execution_timeout_ms,
        deliver_by_unix_ms,
        answer_only: false,
        first_script: 0,
        stop_script: None,
        success_exit_codes: spec.success_exit_codes.clone(),
        max_running: spec.max_running,
        signed: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use clock::Told;
    use proto::{scheduler::Target, types::Desktop};
    use tokio::sync::mpsc;

    use super::*;
    use crate::Config;

    /// A worker that was told the time, which is not its machine's, and an agent's end of a connection.
    fn worker_with_a_desktop()
    -> (Worker, chrono::DateTime<chrono::Utc>, mpsc::Receiver<Result<AttachResponse, tonic::Status>>) {
        let worker = Worker::new(Config::default(), String::new(), None);
        let now = worker.clock.now() + TimeDelta::days(1);
        worker.clock.answered(worker.clock.asks(), Told { now, error: Duration::ZERO });
        let (to_agent, outbox) = mpsc::channel(4);
        let key = DesktopKey { project_id: "p".into(), desktop_id: "d".into() };
        worker.registry.connect(key, Desktop::default(), to_agent).unwrap();
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
    async fn of_a_lease_that_is_over_nothing_is_handed_out() {
        let (worker, now, mut outbox) = worker_with_a_desktop();
        dispatch(&worker, leased_until(now - TimeDelta::milliseconds(1)), None).await;
        assert!(outbox.try_recv().is_err());
        let group = tokio::time::timeout(Duration::from_secs(5), worker.reports.next_group()).await.unwrap();
        let [Item::Returned(returned)] = group.iter().map(|waiting| &waiting.item).collect::<Vec<_>>()[..]
        else {
            panic!("not given back: {group:?}")
        };
        assert!(!returned.handed);
        assert!(worker.ledger.leases().is_empty());
        dispatch(&worker, leased_until(now + TimeDelta::minutes(1)), None).await;
        assert!(matches!(outbox.try_recv(), Ok(Ok(_))));
    }
}
