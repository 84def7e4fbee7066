//! Live output: only watched, authentic and continuing parts are stored.

use domain::{
    ids::TaskId,
    limits::{LIVE_OUTPUT_KEPT, MAX_LIVE_CHUNK_BYTES, MAX_LIVE_OUTPUT_BYTES},
    live_output::{Chunk, OutputState},
    record::RecordId,
};
use proto::{
    agent::ExecutionKey,
    scheduler::{ReportOutputRequest, ReportedOutput, WatchStopsRequest},
    session_signing::{self, OutputPart},
};
use scheduler::Answer;
use store::live_output::{self as rows, Feed, Watch};
use testkit::{Submit, desktop_id, project};

use crate::{
    authentic::{self, SENDER, authenticator},
    grpc::client,
    harness::{Harness, after, start, worker},
};

fn record(task_id: TaskId) -> RecordId {
    RecordId { task_id, ordinal: 0, script: 0, attempt: 1 }
}

/// Watches desktop 0 from an offset on, for 20 seconds.
async fn watch(harness: &Harness, task_id: TaskId, from_offset: u64, seconds: i64) {
    let project_id = project();
    let watch = Watch {
        record_id: record(task_id),
        project_id: &project_id,
        desktop_id: "desktop-0",
        principal: "ann",
        from_offset,
        expires_at: after(seconds + 20),
    };
    rows::watch(&mut harness.store().acquire().await.unwrap(), &watch).await.unwrap();
}

async fn feed(harness: &Harness, task_id: TaskId) -> Option<Feed> {
    rows::feed(&mut harness.store().acquire().await.unwrap(), record(task_id)).await.unwrap()
}

async fn received_until(harness: &Harness, task_id: TaskId) -> u64 {
    feed(harness, task_id).await.unwrap().received_until
}

async fn chunks(harness: &Harness, task_id: TaskId, from: u64) -> Vec<Chunk> {
    let mut connection = harness.store().acquire().await.unwrap();
    rows::chunks(&mut connection, record(task_id), from, 100).await.unwrap()
}

/// Adds a part of desktop `number`; returns the number of stored bytes.
async fn add(harness: &Harness, task_id: TaskId, number: u32, offset: u64, content: &[u8]) -> u64 {
    let chunk = Chunk { from_offset: offset, offset, content: content.to_vec() };
    let part = scheduler::OutputPart {
        record_id: record(task_id),
        desktop: (project(), desktop_id(number)),
        answer: Answer::Output { chunk, is_last: false },
    };
    harness.engine.add_outputs(vec![part]).await.unwrap()
}

#[tokio::test]
async fn only_watched_output_that_continues_is_stored() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    assert_eq!(add(&harness, task_id, 0, 0, b"x").await, 0, "nobody watches");
    watch(&harness, task_id, 0, 0).await;
    assert_eq!(feed(&harness, task_id).await.unwrap().state, OutputState::Requested);
    assert_eq!(add(&harness, task_id, 1, 0, b"forged").await, 0, "another desktop");
    assert_eq!(add(&harness, task_id, 0, 0, b"hello").await, 5);
    assert_eq!(add(&harness, task_id, 0, 0, b"hello").await, 0, "a repetition");
    assert_eq!(add(&harness, task_id, 0, 9, b"late").await, 0, "a part before it is lost");
    assert_eq!(add(&harness, task_id, 0, 5, b" world").await, 6);
    assert_eq!(received_until(&harness, task_id).await, 11);
    assert_eq!(chunks(&harness, task_id, 5).await.len(), 1);
    assert_eq!(feed(&harness, task_id).await.unwrap().state, OutputState::Live);
}

#[tokio::test]
async fn feed_begins_again_for_a_reader_of_earlier_output() {
    let harness = Harness::new().await;
    let task_id = harness.submit(Submit::default()).await;
    watch(&harness, task_id, 7, 0).await;
    assert_eq!(add(&harness, task_id, 0, 7, b"seven").await, 5);
    watch(&harness, task_id, 9, 0).await;
    assert_eq!(received_until(&harness, task_id).await, 12, "a later reader changes nothing");
    watch(&harness, task_id, 2, 0).await;
    assert_eq!(received_until(&harness, task_id).await, 2);
    assert_eq!(chunks(&harness, task_id, 0).await, []);
}

#[tokio::test]
async fn stored_output_is_bounded_and_deleted() {
    let harness = Harness::new().await;
    let task_id = harness.submit(Submit::default()).await;
    watch(&harness, task_id, 0, 0).await;
    let content = vec![b'x'; MAX_LIVE_CHUNK_BYTES];
    let parts = MAX_LIVE_OUTPUT_BYTES / content.len() as u64 + 3;
    for number in 0..parts {
        add(&harness, task_id, 0, number * content.len() as u64, &content).await;
    }
    assert_eq!(received_until(&harness, task_id).await, parts * content.len() as u64);
    assert_eq!(chunks(&harness, task_id, 0).await.len() as u64, parts - 3);
    harness.engine.sweep_outputs(after(21)).await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM output_watch").await, 0);
    assert_eq!(harness.count("SELECT count(*) FROM output_feed").await, 1, "kept for a reader that returns");
    harness.engine.sweep_outputs(after(21) + LIVE_OUTPUT_KEPT).await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM output_feed").await, 0);
    assert_eq!(harness.count("SELECT count(*) FROM output_chunk").await, 0);
}

#[tokio::test]
async fn worker_is_asked_only_for_its_desktops_and_in_time() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let task_id = harness.submit(Submit::default()).await;
    let watched = async |name: &str, seconds| {
        harness.engine.watched_outputs(&worker(name), after(seconds)).await.unwrap()
    };
    assert_eq!(watched("w", 0).await, []);
    watch(&harness, task_id, 3, 0).await;
    let asked = watched("w", 1).await;
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].record_id, asked[0].received_until), (record(task_id), 3));
    assert_eq!(watched("other", 1).await, []);
    assert_eq!(watched("w", 20).await, [], "the watch has expired");
}

#[tokio::test]
async fn agent_without_live_output_is_not_asked_again() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let task_id = harness.submit(Submit::default()).await;
    watch(&harness, task_id, 0, 0).await;
    let answer = scheduler::OutputPart {
        record_id: record(task_id),
        desktop: (project(), desktop_id(0)),
        answer: Answer::Unsupported,
    };
    harness.engine.add_outputs(vec![answer]).await.unwrap();
    assert_eq!(feed(&harness, task_id).await.unwrap().state, OutputState::Unsupported);
    assert_eq!(harness.engine.watched_outputs(&worker("w"), after(1)).await.unwrap(), []);
}

#[tokio::test]
async fn stop_stream_has_the_watched_scripts() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let task_id = harness.submit(Submit::default()).await;
    watch(&harness, task_id, 3, 3_600 * 24 * 365 * 100).await;
    let request = WatchStopsRequest { worker_id: "w".into() };
    let mut stream = client(&harness).watch_stops(request).await.unwrap().into_inner();
    let message = stream.message().await.unwrap().unwrap();
    assert_eq!((message.stops.len(), message.output_watches.len()), (0, 1));
    let asked = &message.output_watches[0];
    assert_eq!((asked.task_id.clone(), asked.from_offset), (task_id.to_string(), 3));
    assert_eq!(asked.desktop.as_ref().unwrap().desktop_id, "desktop-0");
}

#[tokio::test]
async fn output_of_a_certified_desktop_needs_an_authenticator() {
    let harness = Harness::new().await;
    let leased = authentic::leased(&harness).await;
    let task_id = leased.batch.terms.task_id;
    watch(&harness, task_id, 0, 0).await;
    let output = |content: &[u8]| ReportedOutput {
        task_id: task_id.to_string(),
        attempt: 1,
        content: content.to_vec(),
        project_id: SENDER.project_id.into(),
        desktop_id: SENDER.desktop_id.into(),
        agent_id: SENDER.agent_id.into(),
        ..ReportedOutput::default()
    };
    let authentic = |output: ReportedOutput| {
        let key = ExecutionKey { task_id: task_id.to_string(), ordinal: 0, attempt: 1 };
        let part =
            OutputPart { script: 0, from_offset: 0, offset: 0, content: &output.content, is_last: false };
        let message = session_signing::output_message(SENDER, &key, part);
        ReportedOutput { authenticator: authenticator(&message), ..output }
    };
    let report = async |outputs| {
        let request = ReportOutputRequest { worker_id: "w".into(), outputs };
        client(&harness).report_output(request).await.unwrap();
    };
    let forged = ReportedOutput { content: b"forged".to_vec(), ..authentic(output(b"x")) };
    report(vec![output(b"bare"), forged]).await;
    assert_eq!(received_until(&harness, task_id).await, 0);
    report(vec![authentic(output(b"hello"))]).await;
    assert_eq!(received_until(&harness, task_id).await, 5);
}
