//! Acknowledgements of stored results. They are not urgent, and to wake a connection costs more
//! than the message: they follow the next order to the agent, or are sent after a second.

use std::time::Duration;

use futures::future::join_all;
use proto::{
    agent::{AttachResponse, ResultAck, attach_response::Message},
    scheduler::DesktopKey,
};
use tokio::time::timeout;

use crate::{
    outbox::{ToAgent, WeakToAgent},
    state::Worker,
};

/// Maximum time that an acknowledgement waits for an order.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Larger results are acknowledged at once: agents hold a bounded number of bytes.
const LARGE_BYTES: usize = 64 << 10;
/// Time in which agents make room for acknowledgements. Nothing waits for it.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);

/// Queues the acknowledgements of a desktop behind the order that its agent was just sent.
pub(crate) fn follow_order(worker: &Worker, desktop: &DesktopKey, to_agent: &ToAgent) {
    for ack in worker.acks.take(desktop) {
        // A full channel is in use: the next flush finds room, or the agent reports again.
        if to_agent.try_send(Ok(message(ack.clone()))).is_err() {
            worker.acks.add(desktop.clone(), ack);
        }
    }
}

/// Sends the acknowledgements that no order took along, until the worker stops.
pub(crate) async fn run(worker: &Worker) {
    let mut interval = tokio::time::interval(FLUSH_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        flush(worker);
    }
}

/// Acknowledges a stored result of this size on the present connection of its desktop, soon.
pub(crate) fn acknowledge(worker: &Worker, desktop: DesktopKey, ack: ResultAck, bytes: usize) {
    if bytes > LARGE_BYTES {
        return send_all(worker, [(desktop, vec![ack])]);
    }
    worker.acks.add(desktop, ack);
}

/// Sends all acknowledgements that wait.
pub(crate) fn flush(worker: &Worker) {
    send_all(worker, worker.acks.take_all());
}

/// Never waits: an agent that does not read must not delay the results of others.
fn send_all(worker: &Worker, waiting: impl IntoIterator<Item = (DesktopKey, Vec<ResultAck>)>) {
    let mut later = Vec::new();
    for (desktop, acks) in waiting {
        let Some((_, to_agent)) = worker.registry.find(&desktop) else { continue };
        for ack in acks {
            if to_agent.try_send(Ok(message(ack.clone()))).is_err() {
                later.push(send_later(to_agent.downgrade(), message(ack)));
            }
        }
    }
    if !later.is_empty() {
        tokio::spawn(timeout(ACKNOWLEDGED_WITHIN, join_all(later)));
    }
}

/// Sends an acknowledgement once the agent has read other messages. A lost one costs one more
/// report.
async fn send_later(to_agent: WeakToAgent, ack: AttachResponse) {
    if let Some(to_agent) = to_agent.upgrade()
        && !to_agent.send(Ok(ack)).await
    {
        tracing::debug!("acknowledgement not sent: the agent has disconnected");
    }
}

fn message(ack: ResultAck) -> AttachResponse {
    AttachResponse { message: Some(Message::Ack(ack)) }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use proto::{agent::ExecutionKey, types::Desktop};

    use super::*;
    use crate::{Config, outbox};

    fn ack(ordinal: u32) -> ResultAck {
        let key = ExecutionKey { task_id: "t".into(), ordinal, attempt: 1 };
        ResultAck { key: Some(key), scripts: 1 }
    }

    fn desktop(id: &str) -> DesktopKey {
        DesktopKey { desktop_id: id.into(), ..DesktopKey::default() }
    }

    fn attach(worker: &Worker, id: &str, messages: usize) -> outbox::Outbox {
        let (to_agent, outbox) = outbox::channel(messages);
        worker.registry.connect(desktop(id), Desktop::default(), to_agent).unwrap();
        outbox
    }

    fn is_ack_of(message: outbox::Response, expected: &ResultAck) -> bool {
        matches!(message.unwrap().message, Some(Message::Ack(ack)) if ack == *expected)
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledgement_follows_an_order_or_is_flushed() {
        let worker = Worker::new(Config::default(), String::new(), None);
        let mut outbox = attach(&worker, "d", 8);
        acknowledge(&worker, desktop("d"), ack(0), 10);
        assert!(outbox.try_recv().is_err(), "nothing is sent yet");
        let (_, to_agent) = worker.registry.find(&desktop("d")).unwrap();
        to_agent.try_send(Ok(AttachResponse::default())).unwrap();
        follow_order(&worker, &desktop("d"), &to_agent);
        assert!(outbox.try_recv().unwrap().unwrap().message.is_none(), "the order is first");
        assert!(is_ack_of(outbox.try_recv().unwrap(), &ack(0)));
        acknowledge(&worker, desktop("d"), ack(1), 10);
        assert!(timeout(FLUSH_INTERVAL, run(&worker)).await.is_err());
        assert!(is_ack_of(outbox.try_recv().unwrap(), &ack(1)));
        assert!(outbox.try_recv().is_err());
        acknowledge(&worker, desktop("d"), ack(2), LARGE_BYTES + 1);
        assert!(is_ack_of(outbox.try_recv().unwrap(), &ack(2)), "a large result at once");
    }

    #[tokio::test(start_paused = true)]
    async fn agent_that_never_reads_delays_no_acknowledgement() {
        let worker = Worker::new(Config::default(), String::new(), None);
        let (mut deaf, mut other) = (attach(&worker, "deaf", 1), attach(&worker, "other", 1));
        for ordinal in 0..100 {
            acknowledge(&worker, desktop("deaf"), ack(ordinal), 10);
        }
        acknowledge(&worker, desktop("other"), ack(100), 10);
        let begun = tokio::time::Instant::now();
        flush(&worker);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(is_ack_of(other.try_recv().unwrap(), &ack(100)));
        let mut received = 0;
        while received < 100 {
            assert!(timeout(FLUSH_INTERVAL, deaf.recv()).await.unwrap().is_some());
            received += 1;
        }
        assert!(deaf.recv().now_or_never().is_none());
    }
}
