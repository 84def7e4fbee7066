//! Output of running scripts: requests to agents, and the parts that they send.

use std::time::Instant;

use domain::limits::MAX_LIVE_CHUNK_BYTES;
use proto::{
    agent::{AttachResponse, ExecutionKey, OutputChunk, WatchOutput, attach_response::Message},
    scheduler::{DesktopKey, OutputWatch, ReportOutputRequest, ReportedOutput},
};

use crate::{
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

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
        worker.output_queue.push(unsupported);
        return;
    }
    let key = ExecutionKey { task_id, ordinal, attempt };
    if !worker.output_queue.ask((desktop, key.clone(), script), Instant::now()) {
        return tracing::debug!("output not requested: too many scripts are watched");
    }
    let request = Message::WatchOutput(WatchOutput { key: Some(key), script, from_offset });
    if to_agent.try_send(Ok(AttachResponse { message: Some(request) })).is_err() {
        tracing::debug!("request for output not sent; schedulers repeat it");
    }
}

/// Takes a part from an agent. Parts that were not requested, or come too fast, are dropped.
pub(crate) fn take(worker: &Worker, desktop: &DesktopKey, agent_id: &str, chunk: OutputChunk) {
    let OutputChunk { key, script, from_offset, offset, content, is_last, authenticator } = chunk;
    let Some(key) = key.filter(|_| content.len() <= MAX_LIVE_CHUNK_BYTES) else { return };
    let place = (desktop.clone(), key, script);
    if let Err(reason) = worker.output_queue.admit(&place, content.len(), Instant::now()) {
        return tracing::debug!(desktop_id = desktop.desktop_id, reason, "output dropped");
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
    if !worker.output_queue.push(part) {
        tracing::debug!("output dropped: too much of it waits for the schedulers");
    }
}

/// Reports parts for as long as the worker runs. A failed report is not repeated.
pub(crate) async fn run(worker: &Worker, mut client: Client) {
    loop {
        worker.output_queue.is_waiting.notified().await;
        loop {
            let outputs = worker.output_queue.take();
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
        let answers = worker.output_queue.take();
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
        assert_eq!(worker.output_queue.take(), [], "it was not requested");
        ask(&worker, watch("d"));
        for ordinal in [0, 1] {
            take(&worker, &key, "a", chunk(ordinal));
        }
        let sent = worker.output_queue.take();
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!((sent[0].desktop_id.as_str(), sent[0].agent_id.as_str()), ("d", "a"));
    }
}
