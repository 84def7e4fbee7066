//! Records and their output.

use futures::TryStreamExt as _;
use proto::admin::{
    GetRecordRequest, Limits, ListAuditEntriesRequest, ListRecordsRequest, Outcome, RecordFilter,
    RecordStatus, StopMode, StopTaskRequest, StreamRecordsRequest, UpdateLimitsRequest,
};
use tonic::Code;

use crate::harness::{Harness, command_on, refused};

#[tokio::test]
async fn records_are_listed_shown_and_streamed_with_their_output() {
    let harness = Harness::new().await;
    harness.desktops(40).await;
    let task_id = harness.submit(command_on(40)).await.task_id;
    let exit_codes: Vec<i32> = (0..40).map(|number| i32::from(number % 4 == 3)).collect();
    harness.run(&task_id, &exit_codes).await;
    let mut records = harness.records();
    let mut request = ListRecordsRequest { task_id: task_id.clone(), page_size: 30, ..Default::default() };
    let first = records.list_records(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.records.len(), 30);
    assert!(first.records.iter().all(|record| record.output.is_empty()), "not in lists");
    request.page_token = first.next_page_token;
    let second = records.list_records(request).await.unwrap().into_inner();
    assert_eq!((second.records.len(), second.next_page_token.as_str()), (10, ""));
    let failed = RecordFilter { status: RecordStatus::Failed.into(), wave: 1, ..Default::default() };
    let request =
        ListRecordsRequest { task_id: task_id.clone(), filter: Some(failed.clone()), ..Default::default() };
    let found = records.list_records(request).await.unwrap().into_inner().records;
    assert_eq!(found.len(), 10);
    assert_eq!((found[0].outcome(), found[0].exit_code), (Outcome::Failed, Some(1)));

    let shown = GetRecordRequest { record_id: found[0].record_id.clone() };
    let shown = records.get_record(shown).await.unwrap().into_inner().record.unwrap();
    assert_eq!(shown.output, format!("printed by {}\n", shown.desktop_id));

    let request = |cursor: &str, filter| StreamRecordsRequest {
        task_id: task_id.clone(),
        cursor: cursor.into(),
        filter,
    };
    let all = records.stream_records(request("", None)).await.unwrap().into_inner();
    let all: Vec<_> = all.try_collect().await.unwrap();
    assert_eq!(all.len(), 40, "more than one page");
    for (ordinal, message) in (0..).zip(&all) {
        let record = message.record.as_ref().unwrap();
        assert_eq!(record.ordinal, ordinal);
        assert_eq!(record.output, format!("printed by {}\n", record.desktop_id));
    }
    let rest = records.stream_records(request(&all[34].cursor, Some(failed))).await.unwrap().into_inner();
    let rest: Vec<_> = rest.try_collect().await.unwrap();
    assert_eq!(rest.iter().map(|it| it.record.as_ref().unwrap().ordinal).collect::<Vec<_>>(), [35, 39]);
}

#[tokio::test]
async fn what_names_no_records_is_refused() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    let mut records = harness.records();
    let listed =
        |filter| ListRecordsRequest { task_id: task_id.clone(), filter: Some(filter), ..Default::default() };
    let wave = RecordFilter { wave: 40_000, ..Default::default() };
    assert_eq!(refused(records.list_records(listed(wave)).await).fields, ["filter.wave"]);
    let status = RecordFilter { status: 77, ..Default::default() };
    assert_eq!(refused(records.list_records(listed(status)).await).fields, ["filter.status"]);
    let nul = RecordFilter { desktop_ids: vec!["a\0".into()], ..Default::default() };
    assert_eq!(refused(records.list_records(listed(nul)).await).fields, ["filter.desktop_ids"]);
    let empty = RecordFilter { desktop_ids: vec![String::new()], ..Default::default() };
    assert_eq!(refused(records.list_records(listed(empty)).await).fields, ["filter.desktop_ids"]);
    let none = GetRecordRequest { record_id: "nonsense".into() };
    assert_eq!(refused(records.get_record(none).await).code, Code::NotFound);
    let cursor = StreamRecordsRequest { task_id: task_id.clone(), cursor: "x".into(), filter: None };
    assert_eq!(refused(records.stream_records(cursor).await.map(drop)).fields, ["cursor"]);

    // A single record can be stopped before it starts.
    let record_id = records.list_records(listed(RecordFilter::default())).await.unwrap().into_inner().records;
    let stop = StopTaskRequest { record_id: record_id[0].record_id.clone(), ..Default::default() };
    let drain = StopTaskRequest { mode: StopMode::Drain.into(), ..stop.clone() };
    assert_eq!(refused(harness.tasks().stop_task(drain).await).fields, ["mode"]);
    let task = harness.tasks().stop_task(stop).await.unwrap().into_inner().task.unwrap();
    assert_eq!(task.task_id, task_id);
}

#[tokio::test]
async fn audited_stream_has_one_entry_for_all_its_pages() {
    let harness = Harness::new().await;
    harness.desktops(40).await;
    let task_id = harness.submit(command_on(40)).await.task_id;
    harness.run(&task_id, &[0; 40]).await;
    let limits = Some(Limits { audit_reads: Some(true), ..Default::default() });
    let update = UpdateLimitsRequest { limits, update_mask: None };
    let stored = harness.projects().update_limits(update).await.unwrap().into_inner().limits.unwrap();
    assert!(stored.audit_reads());
    let request = StreamRecordsRequest { task_id: task_id.clone(), ..Default::default() };
    let mut records = harness.records();
    let stream = records.stream_records(request).await.unwrap().into_inner();
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().len(), 40, "more than one page");
    // A list without outputs has no entry.
    records
        .list_records(ListRecordsRequest { task_id: task_id.clone(), ..Default::default() })
        .await
        .unwrap();
    let action = "workspace:scripts:getRecordDetail".to_owned();
    let listed = ListAuditEntriesRequest { action, ..Default::default() };
    let entries = harness.audit().list_audit_entries(listed).await.unwrap().into_inner().entries;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].resource, format!("task:{task_id}"));
}
