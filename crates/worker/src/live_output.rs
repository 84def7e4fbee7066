//! Output of running scripts: requests to agents, and the parts that they send. Nothing is kept for
//! long: what is dropped here, the schedulers ask for again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::limits::{
    MAX_LIVE_CHUNK_BYTES, MAX_OUTPUT_REPORT_BYTES, MAX_OUTPUT_WATCHES_PER_WORKER, MAX_OUTPUTS_PER_REPORT,
};
use proto::{
    agent::{AttachResponse, ExecutionKey, OutputChunk, WatchOutput, attach_response::Message},
    scheduler::{DesktopKey, OutputWatch, ReportOutputRequest, ReportedOutput},
};
use tokio::sync::Notify;

use crate::{
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Maximum bytes that wait for the schedulers; further parts are dropped.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Size of a part without its content.
const PART_BYTES: usize = 512;
/// Time after a request in which an agent's parts are accepted.
const REQUEST_LASTS: Duration = Duration::from_secs(10);

/// Script on a desktop.
type Place = (DesktopKey, ExecutionKey, u32);

/// Parts that wait for the schedulers, and what agents were asked for.
#[derive(Debug, Default)]
pub(crate) struct LiveOutput {
    state: Mutex<State>,
    is_waiting: Notify,
}

#[derive(Debug, Default)]
struct State {
    asked: HashMap<Place, Instant>,
    waiting: VecDeque<ReportedOutput>,
    waiting_bytes: usize,
}

impl LiveOutput {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request; false if too many scripts are watched.
    fn ask(&self, place: Place, now: Instant) -> bool {
        let mut state = self.lock();
        state.asked.retain(|_, at| now.duration_since(*at) < REQUEST_LASTS);
        let has_room = state.asked.len() < MAX_OUTPUT_WATCHES_PER_WORKER as usize;
        let is_taken = has_room || state.asked.contains_key(&place);
        if is_taken {
            state.asked.insert(place, now);
        }
        is_taken
    }

    /// Whether an agent was asked for this output a short time ago.
    fn is_asked(&self, place: &Place, now: Instant) -> bool {
        self.lock().asked.get(place).is_some_and(|at| now.duration_since(*at) < REQUEST_LASTS)
    }

    /// Queues a part; false if it was dropped.
    fn push(&self, part: ReportedOutput) -> bool {
        let mut state = self.lock();
        let bytes = PART_BYTES + part.content.len();
        if state.waiting_bytes + bytes > MAX_WAITING_BYTES {
            return false;
        }
        state.waiting_bytes += bytes;
        state.waiting.push_back(part);
        drop(state);
        self.is_waiting.notify_one();
        true
    }

    /// Takes as many parts as one report may have.
    fn take(&self) -> Vec<ReportedOutput> {
        let mut state = self.lock();
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while parts.len() < MAX_OUTPUTS_PER_REPORT
            && let Some(part) = state.waiting.front()
            && bytes + part.content.len() <= MAX_OUTPUT_REPORT_BYTES
            && let Some(part) = state.waiting.pop_front()
        {
            bytes += part.content.len();
            state.waiting_bytes -= PART_BYTES + part.content.len();
            parts.push(part);
        }
        parts
    }
}

/// Asks the agent of a desktop for the output of a script, or answers for an agent that is too old.
/// A request that is not sent is not retried: the schedulers repeat it.
pub(crate) fn ask(worker: &Worker, watch: OutputWatch) {
    let OutputWatch { task_id, ordinal, attempt, script, from_offset, desktop } = watch;
    let Some(desktop) = desktop else { return };
    let Some((to_agent, described)) = worker.registry.find_described(&desktop) else { return };
    if !described.live_output {
        let unsupported = ReportedOutput {
            task_id,
            ordinal,
            attempt,
            script,
            project_id: desktop.project_id,
            desktop_id: desktop.desktop_id,
            is_unsupported: true,
            ..ReportedOutput::default()
        };
        worker.live_output.push(unsupported);
        return;
    }
    let key = ExecutionKey { task_id, ordinal, attempt };
    if !worker.live_output.ask((desktop, key.clone(), script), Instant::now()) {
        return tracing::debug!("output not requested: too many scripts are watched");
    }
    let request = Message::WatchOutput(WatchOutput { key: Some(key), script, from_offset });
    if to_agent.try_send(Ok(AttachResponse { message: Some(request) })).is_err() {
        tracing::debug!("request for output not sent; schedulers repeat it");
    }
}

/// Takes a part from an agent. Parts that were not requested are dropped.
pub(crate) fn take(worker: &Worker, desktop: &DesktopKey, agent_id: &str, chunk: OutputChunk) {
    let OutputChunk { key, script, from_offset, offset, content, is_last, authenticator } = chunk;
    let Some(key) = key.filter(|_| content.len() <= MAX_LIVE_CHUNK_BYTES) else { return };
    let place = (desktop.clone(), key, script);
    if !worker.live_output.is_asked(&place, Instant::now()) {
        return tracing::debug!(desktop_id = desktop.desktop_id, "output dropped: it was not requested");
    }
    let (desktop, ExecutionKey { task_id, ordinal, attempt }, script) = place;
    let part = ReportedOutput {
        task_id,
        ordinal,
        attempt,
        script,
        from_offset,
        offset,
        content,
        is_last,
        authenticator,
        project_id: desktop.project_id,
        desktop_id: desktop.desktop_id,
        agent_id: agent_id.to_owned(),
        is_unsupported: false,
    };
    if !worker.live_output.push(part) {
        tracing::debug!("output dropped: too much of it waits for the schedulers");
    }
}

/// Reports parts for as long as the worker runs. A failed report is not repeated.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    loop {
        worker.live_output.is_waiting.notified().await;
        loop {
            let outputs = worker.live_output.take();
            if outputs.is_empty() {
                break;
            }
            let request = ReportOutputRequest { worker_id: worker.worker_id.clone(), outputs };
            if let Err(status) = client.report_output(with_deadline(request, CALL_TIMEOUT)).await {
                tracing::debug!(%status, "reporting output failed; schedulers ask for it again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::types::Desktop;

    use super::*;
    use crate::{Config, outbox};

    fn part(bytes: usize) -> ReportedOutput {
        ReportedOutput { content: vec![0; bytes], ..ReportedOutput::default() }
    }

    fn place(ordinal: u32) -> Place {
        (DesktopKey::default(), ExecutionKey { ordinal, ..ExecutionKey::default() }, 0)
    }

    #[test]
    fn waiting_output_is_bounded_and_reports_too() {
        let output = LiveOutput::default();
        let accepted = (0..200).take_while(|_| output.push(part(MAX_LIVE_CHUNK_BYTES))).count();
        assert_eq!(accepted, MAX_WAITING_BYTES / (MAX_LIVE_CHUNK_BYTES + PART_BYTES));
        assert_eq!(output.take().len(), MAX_OUTPUT_REPORT_BYTES / MAX_LIVE_CHUNK_BYTES);
        assert!(output.push(part(MAX_LIVE_CHUNK_BYTES)), "a report makes room");
        while !output.take().is_empty() {}
        assert_eq!(output.lock().waiting_bytes, 0);
    }

    fn watch(desktop_id: &str) -> OutputWatch {
        let desktop = DesktopKey { project_id: "p".into(), desktop_id: desktop_id.into() };
        OutputWatch { task_id: "t".into(), from_offset: 7, desktop: Some(desktop), ..OutputWatch::default() }
    }

    #[tokio::test]
    async fn request_reaches_only_agents_with_live_output() {
        let worker = Worker::new(Config::default(), String::new(), None);
        let connect = |id: &str, live_output: bool| {
            let (to_agent, outbox) = outbox::channel(4);
            let key = watch(id).desktop.unwrap();
            worker.registry.connect(key, Desktop { live_output, ..Desktop::default() }, to_agent).unwrap();
            outbox
        };
        let (mut new, mut old) = (connect("new", true), connect("old", false));
        for id in ["new", "old", "gone"] {
            ask(&worker, watch(id));
        }
        let asked = new.try_recv().unwrap().unwrap().message;
        assert!(matches!(asked, Some(Message::WatchOutput(WatchOutput { from_offset: 7, .. }))), "{asked:?}");
        old.try_recv().unwrap_err();
        let answers = worker.live_output.take();
        assert_eq!(answers.len(), 1);
        assert!(answers[0].is_unsupported && answers[0].desktop_id == "old");
    }

    #[tokio::test]
    async fn output_goes_to_the_schedulers_with_its_desktop() {
        let worker = Worker::new(Config::default(), String::new(), None);
        let (to_agent, _outbox) = outbox::channel(4);
        let key = watch("d").desktop.unwrap();
        worker
            .registry
            .connect(key.clone(), Desktop { live_output: true, ..Desktop::default() }, to_agent)
            .unwrap();
        let chunk = |ordinal| OutputChunk {
            key: Some(ExecutionKey { task_id: "t".into(), ordinal, attempt: 0 }),
            content: b"x".to_vec(),
            ..OutputChunk::default()
        };
        take(&worker, &key, "a", chunk(0));
        assert_eq!(worker.live_output.take(), [], "it was not requested");
        ask(&worker, watch("d"));
        for ordinal in [0, 1] {
            take(&worker, &key, "a", chunk(ordinal));
        }
        let sent = worker.live_output.take();
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!((sent[0].desktop_id.as_str(), sent[0].agent_id.as_str()), ("d", "a"));
    }

    #[test]
    fn only_requested_output_is_taken() {
        let (output, begun) = (LiveOutput::default(), Instant::now());
        assert!(output.ask(place(1), begun));
        assert!(output.is_asked(&place(1), begun));
        assert!(!output.is_asked(&place(2), begun));
        assert!(!output.is_asked(&place(1), begun + REQUEST_LASTS));
        for ordinal in 2..=MAX_OUTPUT_WATCHES_PER_WORKER {
            assert!(output.ask(place(ordinal), begun));
        }
        assert!(!output.ask(place(0), begun), "the limit of one worker");
        assert!(output.ask(place(1), begun), "a request is prolonged");
        assert!(output.ask(place(0), begun + REQUEST_LASTS), "older requests have expired");
    }
}
