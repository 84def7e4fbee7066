//! Output of records while their scripts run.

use domain::{limits::MAX_LIVE_CHUNK_BYTES, live_output::Chunk, outcome::Outcome, record::RecordId};
use futures::TryStreamExt as _;
use proto::admin::{
    Limits, ListAuditEntriesRequest, OutputPosition, OutputState, StreamOutputRequest, StreamOutputResponse,
    UpdateLimitsRequest,
};
use scheduler::{Answer, OutputPart};
use testkit::{desktop_id, project, script_report};
use tonic::{Code, Streaming};

use crate::harness::{Harness, command_on, refused};

fn position(task_id: &str, ordinal: u32, from_offset: u64) -> OutputPosition {
    OutputPosition { record_id: format!("{task_id}-{ordinal}-0-1"), from_offset }
}

async fn stream(harness: &Harness, positions: Vec<OutputPosition>) -> Streaming<StreamOutputResponse> {
    harness.records().stream_output(StreamOutputRequest { positions }).await.unwrap().into_inner()
}

/// Adds output as the desktop of ordinal 0 sends it.
async fn add(harness: &Harness, task_id: &str, offset: u64, content: &str, is_last: bool) {
    add_of(harness, (task_id, 0), offset, content, is_last).await;
}

/// Adds output as the desktop of an ordinal sends it.
async fn add_of(
    harness: &Harness,
    (task_id, ordinal): (&str, u32),
    offset: u64,
    content: &str,
    is_last: bool,
) {
    let chunk = Chunk { from_offset: offset, offset, content: content.into() };
    let record_id: RecordId = format!("{task_id}-{ordinal}-0-1").parse().unwrap();
    let answer = Answer::Output { chunk, is_last };
    let part = OutputPart { record_id, desktop: (project(), desktop_id(ordinal)), answer };
    let stored = harness.engine.add_outputs(vec![part]).await.unwrap();
    assert_eq!(stored, content.len() as u64);
}

fn seen(message: Option<StreamOutputResponse>) -> (OutputState, u64, String, u64) {
    let message = message.unwrap();
    (message.state(), message.offset, message.output, message.next_offset)
}

#[tokio::test]
async fn output_is_streamed_while_the_script_runs() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    let waiting = stream(&harness, vec![position(&task_id, 0, 0)]).await.message().await.unwrap();
    assert_eq!(seen(waiting), (OutputState::Waiting, 0, String::new(), 0));
    assert_eq!(harness.scalar::<i64>("SELECT count(*) FROM output_watch").await.unwrap(), 0);

    let leased = harness.lease(&task_id).await;
    let mut output = stream(&harness, vec![position(&task_id, 0, 0)]).await;
    let requested = output.message().await.unwrap();
    assert_eq!(seen(requested), (OutputState::Requested, 0, String::new(), 0));
    add(&harness, &task_id, 0, "one\n", false).await;
    assert_eq!(seen(output.message().await.unwrap()), (OutputState::Live, 0, "one\n".into(), 4));
    add(&harness, &task_id, 4, "two\n", true).await;
    harness
        .report(&leased, vec![vec![script_report(Outcome::Success, Some(0), "one\ntwo\n")]])
        .await
        .unwrap();
    assert_eq!(seen(output.message().await.unwrap()), (OutputState::Ended, 4, "two\n".into(), 8));
    assert_eq!(output.message().await.unwrap(), None);
}

#[tokio::test]
async fn much_output_of_several_scripts_arrives_in_turn() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let task_id = harness.submit(command_on(2)).await.task_id;
    harness.lease(&task_id).await;
    let positions = vec![position(&task_id, 0, 0), position(&task_id, 1, 0)];
    let mut output = stream(&harness, positions).await;
    for _ in 0..2 {
        assert_eq!(output.message().await.unwrap().unwrap().state(), OutputState::Requested);
    }
    let content = "x".repeat(MAX_LIVE_CHUNK_BYTES);
    let whole = 16 * MAX_LIVE_CHUNK_BYTES as u64;
    for ordinal in 0..2 {
        for offset in (0..whole).step_by(MAX_LIVE_CHUNK_BYTES) {
            add_of(&harness, (&task_id, ordinal), offset, &content, false).await;
        }
    }
    for ordinal in 0..2 {
        let message = output.message().await.unwrap().unwrap();
        let expected = (format!("{task_id}-{ordinal}-0-1"), whole);
        assert_eq!((message.record_id, message.next_offset), expected);
    }
}

#[tokio::test]
async fn stored_output_is_streamed_after_the_end() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let task_id = harness.submit(command_on(3)).await.task_id;
    harness.run(&task_id, &[0, 1, 0]).await;
    let positions = vec![position(&task_id, 0, 0), position(&task_id, 2, 0)];
    let all: Vec<_> = stream(&harness, positions).await.try_collect().await.unwrap();
    let seen: Vec<_> = all.into_iter().map(|message| seen(Some(message))).collect();
    let of = |number| (OutputState::Ended, 0, format!("printed by desktop-{number}\n"), 21);
    assert_eq!(seen, [of(0), of(2)]);
    assert_eq!(harness.scalar::<i64>("SELECT count(*) FROM output_watch").await.unwrap(), 0);
}

#[tokio::test]
async fn positions_outside_the_rules_are_refused() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    let ask = async |positions| {
        refused(harness.records().stream_output(StreamOutputRequest { positions }).await.map(drop))
    };
    assert_eq!(ask(Vec::new()).await.fields, ["positions"]);
    assert_eq!(ask(vec![position(&task_id, 0, 0); 21]).await.fields, ["positions"]);
    assert_eq!(ask(vec![position(&task_id, 9, 0)]).await.code, Code::NotFound);
    let far = position(&task_id, 0, u64::MAX);
    assert_eq!(ask(vec![far]).await.fields, ["positions[0].from_offset"]);
    let nonsense = OutputPosition { record_id: "nonsense".into(), from_offset: 0 };
    assert_eq!(ask(vec![nonsense]).await.code, Code::NotFound);
}

#[tokio::test]
async fn reader_without_the_right_to_output_is_refused() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    let document =
        r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["workspace:scripts:listRecords"]}]}"#;
    let token = harness.token_with("bob", document).await;
    let mut records =
        proto::admin::record_service_client::RecordServiceClient::new(harness.channel(Some(&token)));
    let request = StreamOutputRequest { positions: vec![position(&task_id, 0, 0)] };
    assert_eq!(refused(records.stream_output(request).await.map(drop)).code, Code::PermissionDenied);
}

#[tokio::test]
async fn followed_output_has_one_audit_entry() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    let limits = Some(Limits { audit_reads: Some(true), ..Default::default() });
    harness.projects().update_limits(UpdateLimitsRequest { limits, update_mask: None }).await.unwrap();
    let leased = harness.lease(&task_id).await;
    let mut output = stream(&harness, vec![position(&task_id, 0, 0)]).await;
    output.message().await.unwrap();
    add(&harness, &task_id, 0, "one\n", true).await;
    output.message().await.unwrap();
    harness.report(&leased, vec![vec![script_report(Outcome::Success, Some(0), "one\n")]]).await.unwrap();
    assert_eq!(output.message().await.unwrap().unwrap().state(), OutputState::Ended);
    let action = "workspace:scripts:getRecordDetail".to_owned();
    let listed = ListAuditEntriesRequest { action, ..Default::default() };
    let entries = harness.audit().list_audit_entries(listed).await.unwrap().into_inner().entries;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].resource, format!("record:{task_id}-0-0-1"));
}

#[tokio::test]
async fn caller_watches_a_limited_number_of_scripts() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    harness.lease(&task_id).await;
    let mut connection = harness.database.connection().await.unwrap();
    let fill = "INSERT INTO output_watch (task_id, ordinal, script, principal, project_id, expires_at)
         SELECT gen_random_uuid(), 0, 0, principal, 'project-1', 'infinity'
         FROM generate_series(1, 100), (SELECT 'configuration' AS principal) AS p";
    sqlx::query(fill).execute(&mut connection).await.unwrap();
    let request = StreamOutputRequest { positions: vec![position(&task_id, 0, 0)] };
    let refusal = refused(harness.records().stream_output(request).await.map(drop));
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::ResourceExhausted, "OUTPUT_WATCH_LIMIT"));
}
