//! The event stream of a task.

use std::time::Duration;

use control::RequestLimits;
use futures::TryStreamExt as _;
use proto::admin::{EventKind, TaskStatus, WatchTaskRequest, WatchTaskResponse, watch_task_response::Update};
use tonic::{Code, Request};

use crate::harness::{Harness, command_on, refused};

fn request(task_id: &str, cursor: &str) -> WatchTaskRequest {
    WatchTaskRequest { task_id: task_id.into(), cursor: cursor.into() }
}

fn kinds(responses: &[WatchTaskResponse]) -> Vec<EventKind> {
    let event = |message: &WatchTaskResponse| match &message.update {
        Some(Update::Event(event)) => Some(event.kind()),
        _ => None,
    };
    responses.iter().filter_map(event).collect()
}

#[tokio::test]
async fn everything_is_told_once_and_goes_on_from_a_cursor() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let task_id = harness.submit(command_on(2)).await.task_id;
    let stream = harness.tasks().watch_task(request(&task_id, "")).await.unwrap().into_inner();
    harness.run(&task_id, &[0, 0]).await;
    let responses: Vec<WatchTaskResponse> = stream.try_collect().await.unwrap();
    let all = kinds(&responses);
    assert_eq!((all.first(), all.last()), (Some(&EventKind::Accepted), Some(&EventKind::Ended)));
    let last = responses.iter().rev().find_map(|message| match &message.update {
        Some(Update::Progress(progress)) => Some(progress.clone()),
        _ => None,
    });
    assert_eq!(last.unwrap().status(), TaskStatus::Success);

    let first = responses.iter().find(|message| matches!(message.update, Some(Update::Event(_)))).unwrap();
    let rest = harness.tasks().watch_task(request(&task_id, &first.cursor)).await.unwrap();
    let rest: Vec<_> = rest.into_inner().try_collect().await.unwrap();
    assert_eq!(kinds(&rest), all[1..]);
    let end = harness.tasks().watch_task(request(&task_id, &responses.last().unwrap().cursor)).await.unwrap();
    assert!(end.into_inner().message().await.unwrap().is_none(), "nothing follows the end");
}

#[tokio::test]
async fn a_stream_ends_at_the_clients_deadline_and_at_a_stop() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    let mut short = Request::new(request(&task_id, ""));
    short.set_timeout(Duration::from_millis(400));
    let stream = harness.tasks().watch_task(short).await.unwrap().into_inner();
    let late = refused(stream.try_collect::<Vec<_>>().await);
    assert_eq!(late.code, Code::DeadlineExceeded);

    let mut stream = harness.tasks().watch_task(request(&task_id, "")).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    harness.stop.cancel();
    let ended = refused(stream.try_collect::<Vec<_>>().await);
    assert_eq!(ended.code, Code::Unavailable);
    assert!(ended.message.contains("last cursor") && ended.details.retry_info().is_some(), "{ended:?}");
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_is_told_at_once() {
    let harness = Harness::new().await;
    let watched = async |task_id: &str, cursor: &str| {
        refused(harness.tasks().watch_task(request(task_id, cursor)).await.map(drop))
    };
    assert_eq!(watched(&"0".repeat(32), "").await.code, Code::NotFound);
    assert_eq!(watched("nonsense", "").await.code, Code::NotFound);
    assert_eq!(watched(&"0".repeat(32), "nonsense").await.fields, ["cursor"]);

    // With a cursor of another task, the stream would skip events.
    harness.desktops(1).await;
    let [one, other] = [harness.submit(command_on(1)).await, harness.submit(command_on(1)).await];
    let mut stream = harness.tasks().watch_task(request(&one.task_id, "")).await.unwrap().into_inner();
    let cursor = stream.message().await.unwrap().unwrap().cursor;
    assert_eq!(watched(&other.task_id, &cursor).await.fields, ["cursor"]);
}

#[tokio::test]
async fn watch_stream_outlasts_the_call_timeout_if_requested() {
    let options = RequestLimits { request_timeout: Duration::from_millis(100), ..RequestLimits::default() };
    let harness = Harness::with(options, None).await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    let mut long = Request::new(request(&task_id, ""));
    long.set_timeout(Duration::from_secs(30));
    let stream = harness.tasks().watch_task(long).await.unwrap().into_inner();
    // Longer than the timeout of a unary call: the next poll of the events is half a second later.
    let responses = tokio::spawn(stream.try_collect::<Vec<_>>());
    let mut looked = harness.tasks().watch_task(request(&task_id, "")).await.unwrap().into_inner();
    while looked
        .message()
        .await
        .unwrap()
        .is_some_and(|message| !matches!(message.update, Some(Update::Progress(_))))
    {}
    harness.run(&task_id, &[0]).await;
    assert_eq!(kinds(&responses.await.unwrap().unwrap()).last(), Some(&EventKind::Ended));
}
