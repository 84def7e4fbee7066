//! The event stream of a project, maps, attention and questions about rights.

use proto::admin::{
    AccessCheck, CheckAccessRequest, EventKind, GetAttentionRequest, GetTaskMapRequest, MarginScope,
    WatchProjectRequest, WatchProjectResponse, watch_project_response::Update,
};
use tonic::{Code, Streaming};

use crate::harness::{Harness, command_on, refused};

/// Reads messages up to the position of a group that contains a message that fits.
async fn until(
    stream: &mut Streaming<WatchProjectResponse>,
    fits: impl Fn(&Update) -> bool,
) -> (Vec<Update>, String) {
    let (mut updates, mut is_there) = (Vec::new(), false);
    loop {
        let message = stream.message().await.unwrap().expect("the stream goes on");
        let update = message.update.unwrap();
        is_there |= fits(&update);
        updates.push(update);
        if is_there && !message.position.is_empty() {
            return (updates, message.position);
        }
    }
}

#[tokio::test]
async fn stream_carries_tasks_events_and_maps_and_resumes() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let task_id = harness.submit(command_on(2)).await.task_id;
    let request = GetTaskMapRequest { task_id: task_id.clone(), ..GetTaskMapRequest::default() };
    let map = harness.insight().get_task_map(request.clone()).await.unwrap().into_inner();
    assert_eq!((map.codes.as_slice(), map.version), ([0, 0].as_slice(), 0));
    let known = GetTaskMapRequest { known_tag: map.tag, ..request.clone() };
    assert!(harness.insight().get_task_map(known).await.unwrap().into_inner().codes.is_empty());

    let watch = WatchProjectRequest { maps: vec![format!("{task_id}:0")], ..WatchProjectRequest::default() };
    let mut stream = harness.projects().watch_project(watch.clone()).await.unwrap().into_inner();
    let (first, position) = until(&mut stream, |update| matches!(update, Update::Desktops(_))).await;
    assert!(first.iter().any(|update| matches!(update, Update::Task(task) if task.task_id == task_id)));
    drop(stream);
    harness.run(&task_id, &[0, 3]).await;
    let resumed = WatchProjectRequest { position, ..watch };
    let mut stream = harness.projects().watch_project(resumed).await.unwrap().into_inner();
    let (updates, _) = until(&mut stream, |update| matches!(update, Update::Map(_))).await;
    let ended = updates.iter().any(|update| {
        matches!(update, Update::Event(event) if event.event.as_ref().unwrap().kind() == EventKind::Ended)
    });
    assert!(ended, "{updates:?}");
    let runs = updates.iter().find_map(|update| match update {
        Update::Map(map) => {
            Some(map.runs.iter().map(|run| (run.first, run.last, run.code)).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(runs.unwrap(), [(0, 0, 16), (1, 1, 17)]);
    assert_eq!(harness.insight().get_task_map(request).await.unwrap().into_inner().codes, [16, 17]);
}

#[tokio::test]
async fn stream_refuses_what_it_cannot_serve() {
    let harness = Harness::new().await;
    let watch = async |request: WatchProjectRequest| refused(harness.projects().watch_project(request).await);
    let position = WatchProjectRequest { position: "x".into(), ..WatchProjectRequest::default() };
    assert_eq!(watch(position).await.fields, ["position"]);
    let types = WatchProjectRequest { types: vec!["x".into()], ..WatchProjectRequest::default() };
    assert_eq!(watch(types).await.fields, ["types"]);
    let missing = "01890000000070008000000000000001".to_owned();
    let tasks = WatchProjectRequest { task_ids: vec![missing], ..WatchProjectRequest::default() };
    assert_eq!(watch(tasks).await.code, Code::NotFound);
}

#[tokio::test]
async fn attention_and_tasks_have_the_margin() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let task_id = harness.submit(command_on(3)).await.task_id;
    let list = harness.insight().get_attention(GetAttentionRequest {}).await.unwrap().into_inner();
    assert!(list.items.is_empty() && !list.truncated);
    assert_eq!((list.running.len(), list.counts.unwrap().running), (1, 1));
    let margin = list.running[0].margin.as_ref().unwrap();
    assert_eq!(
        (list.running[0].task_id.as_str(), margin.scope()),
        (task_id.as_str(), MarginScope::Unspecified)
    );
    assert_eq!(margin.sentence, "0 of 3 targets failed, 0 are at risk; no fail threshold is set");
}

#[tokio::test]
async fn rights_are_answered_with_reasons() {
    let harness = Harness::new().await;
    let ask = |principal: &str, resource: &str, action: &str| CheckAccessRequest {
        principal: principal.into(),
        checks: vec![AccessCheck { resource: resource.into(), actions: vec![action.into()] }],
    };
    let mut access = harness.access();
    let own = access.check_access(ask("", "task:*", "graywave:tasks:pause")).await.unwrap().into_inner();
    assert_eq!(own.results[0].allowed, ["graywave:tasks:pause"]);
    assert_eq!(
        refused(access.check_access(ask("", "x", "graywave:tasks:pause")).await).fields,
        ["checks[0].resource"]
    );
    assert_eq!(refused(access.check_access(ask("", "*", "x")).await).fields, ["checks[0].actions[0]"]);
    assert_eq!(
        refused(access.check_access(ask("nobody", "*", "graywave:tasks:pause")).await).code,
        Code::NotFound
    );
}
