//! Live output of this connection: one task for each watched script, at a limited rate.

use std::{collections::HashMap, time::Duration};

use proto::{
    agent::{OutputChunk, WatchOutput},
    limits::{MAX_LIVE_CHUNK_BYTES, MAX_LIVE_OUTPUTS_PER_AGENT},
};
use runner::OutputReply;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{execution::LiveOutput, journal::Key, orders::Orders};

/// Time for which one request is valid. Schedulers repeat it about every second.
const REQUEST_LASTS: Duration = Duration::from_secs(5);
/// Interval at which a runner is asked for new output.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// Pause after a runner did not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Time after which sent output that the schedulers still ask for counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(3);
/// Number of parts that wait for the connection.
const WAITING: usize = 4;

/// Last request for the output of a script.
#[derive(Debug, Clone, Copy)]
struct Request {
    from_offset: u64,
    /// Time of the first request with this offset.
    since: Instant,
    at: Instant,
}

impl Request {
    /// Position to read next, after everything up to `position` was sent by `sent_at`.
    fn next_position(self, position: u64, sent_at: Instant) -> u64 {
        let is_lost = self.at.duration_since(sent_at.max(self.since).min(self.at)) >= LOST_AFTER;
        if self.from_offset > position || (self.from_offset < position && is_lost) {
            self.from_offset
        } else {
            position
        }
    }
}

/// Watched scripts of one connection. Dropping this ends all tasks.
#[derive(Debug)]
pub(super) struct LiveOutputs {
    requests: HashMap<(Key, u32), watch::Sender<Request>>,
    tasks: JoinSet<()>,
    sender: mpsc::Sender<OutputChunk>,
    receiver: mpsc::Receiver<OutputChunk>,
}

impl Default for LiveOutputs {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { requests: HashMap::new(), tasks: JoinSet::new(), sender, receiver }
    }
}

impl LiveOutputs {
    /// Begins or continues to send the output of a script. A script that does not run is ignored:
    /// the request is repeated, or its result is on the way.
    pub(super) fn watch(&mut self, asked: WatchOutput, orders: &Orders) {
        let Some(key) = asked.key.map(Key::from) else { return };
        while self.tasks.try_join_next().is_some() {}
        self.requests.retain(|_, request| !request.is_closed());
        let (place, now) = ((key, asked.script), Instant::now());
        if let Some(request) = self.requests.get(&place) {
            request.send_modify(|request| {
                let is_repeated = request.from_offset == asked.from_offset;
                let since = if is_repeated { request.since } else { now };
                *request = Request { from_offset: asked.from_offset, since, at: now };
            });
            return;
        }
        let Some(run_dir) = orders.run_dir(&place.0, place.1) else { return };
        if self.requests.len() >= MAX_LIVE_OUTPUTS_PER_AGENT {
            return tracing::debug!("output not watched: too many scripts are watched on this desktop");
        }
        let (request, requests) =
            watch::channel(Request { from_offset: asked.from_offset, since: now, at: now });
        let (live, sender) = (LiveOutput::new(run_dir), self.sender.clone());
        self.tasks.spawn(follow(live, place.clone(), requests, sender));
        self.requests.insert(place, request);
    }

    /// Next part to send.
    pub(super) async fn next(&mut self) -> OutputChunk {
        match self.receiver.recv().await {
            Some(chunk) => chunk,
            // There is always a sender.
            None => std::future::pending().await,
        }
    }
}

/// Sends the output of a script until it ends, or is not asked for any more.
async fn follow(
    mut live: LiveOutput,
    (key, script): (Key, u32),
    requests: watch::Receiver<Request>,
    sender: mpsc::Sender<OutputChunk>,
) {
    let first = *requests.borrow();
    let (mut position, mut sent_at, mut has_answered) = (first.from_offset, first.at, false);
    loop {
        let request = *requests.borrow();
        if request.at.elapsed() >= REQUEST_LASTS {
            return;
        }
        position = request.next_position(position, sent_at);
        let reply = match live.read(position).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(%error, ?key, script, "the runner did not send its output");
                sleep(PAUSE).await;
                continue;
            }
        };
        // Nothing is that far: the request is for another run of this script.
        let is_ahead = reply.offset < position;
        if is_ahead || (reply.content.is_empty() && has_answered && !reply.is_last) {
            live.wait(POLL_EVERY).await;
            continue;
        }
        has_answered = true;
        let is_last = reply.is_last;
        for chunk in chunks(&key, script, position, reply) {
            position = chunk.offset + chunk.content.len() as u64;
            let pause = pause_after(chunk.content.len());
            if sender.send(chunk).await.is_err() {
                return;
            }
            sent_at = Instant::now();
            sleep(pause).await;
        }
        if is_last {
            return;
        }
        live.wait(POLL_EVERY).await;
    }
}

/// Divides a reply into parts that each fit a message.
fn chunks(key: &Key, script: u32, position: u64, reply: OutputReply) -> Vec<OutputChunk> {
    let OutputReply { offset, content, is_last } = reply;
    let parts: Vec<&[u8]> =
        if content.is_empty() { vec![&[]] } else { content.chunks(MAX_LIVE_CHUNK_BYTES).collect() };
    let last = parts.len() - 1;
    let (mut from_offset, mut offset) = (position, offset);
    let chunk = |(number, part): (usize, &[u8])| {
        let chunk = OutputChunk {
            key: Some(key.clone().into()),
            script,
            from_offset,
            offset,
            content: part.to_vec(),
            is_last: is_last && number == last,
            authenticator: None,
        };
        offset += part.len() as u64;
        from_offset = offset;
        chunk
    };
    parts.into_iter().enumerate().map(chunk).collect()
}

/// Pause after a part was sent, so that a script sends at most 64 KiB in a second.
fn pause_after(bytes: usize) -> Duration {
    Duration::from_secs(1).mul_f64(bytes as f64 / MAX_LIVE_CHUNK_BYTES as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { task: "t".into(), ordinal: 1, attempt: 1 }
    }

    #[test]
    fn reply_is_divided_into_parts_that_follow_each_other() {
        let content = vec![7; MAX_LIVE_CHUNK_BYTES + 5];
        let parts = chunks(&key(), 0, 10, OutputReply { offset: 20, content, is_last: true });
        let place = |it: &OutputChunk| (it.from_offset, it.offset, it.content.len(), it.is_last);
        let places: Vec<_> = parts.iter().map(place).collect();
        let middle = 20 + MAX_LIVE_CHUNK_BYTES as u64;
        assert_eq!(places, [(10, 20, MAX_LIVE_CHUNK_BYTES, false), (middle, middle, 5, true)]);
        let none = chunks(&key(), 0, 10, OutputReply { offset: 10, content: Vec::new(), is_last: false });
        assert_eq!((none.len(), none[0].content.len()), (1, 0));
    }

    #[test]
    fn lost_output_is_sent_again() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let request = |since, now| Request { from_offset: 5, since: at(since), at: at(now) };
        assert_eq!(request(0, 1).next_position(9, at(0)), 9, "it may be under way");
        assert_eq!(request(0, 3).next_position(9, at(0)), 5);
        assert_eq!(request(0, 4).next_position(9, at(2)), 9, "the last part was sent just now");
        assert_eq!(request(0, 0).next_position(5, at(0)), 5);
        assert_eq!(request(0, 0).next_position(2, at(0)), 5, "the schedulers have more");
    }

    #[test]
    fn script_sends_at_most_its_rate() {
        assert_eq!(pause_after(0), Duration::ZERO);
        assert_eq!(pause_after(MAX_LIVE_CHUNK_BYTES), Duration::from_secs(1));
    }
}
