//! What holds for all calls.

use std::time::Duration;

use proto::admin::{ListTasksRequest, SubmitTaskRequest, TaskSpec, task_service_client::TaskServiceClient};
use tonic::{Code, Request};

use crate::harness::{Harness, TOKEN, command, command_on, refused};

#[tokio::test]
async fn a_deadline_that_is_over_ends_the_call() {
    let harness = Harness::new().await;
    let mut request = Request::new(ListTasksRequest::default());
    // Shorter than any answer of a database.
    request.set_timeout(Duration::from_millis(1));
    let late = refused(harness.tasks().list_tasks(request).await);
    assert_eq!(late.code, Code::DeadlineExceeded);
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let harness = Harness::new().await;
    let mut request = Request::new(ListTasksRequest::default());
    request.metadata_mut().insert("x-request-id", "mine".parse().unwrap());
    let answer = harness.tasks().list_tasks(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "mine");
    let other = harness.tasks().list_tasks(ListTasksRequest::default()).await.unwrap();
    assert_eq!(other.metadata().get("x-request-id").unwrap().len(), 32);
    let mut nobody = TaskServiceClient::new(harness.channel(None));
    let refusal = nobody.list_tasks(ListTasksRequest::default()).await.unwrap_err();
    assert!(refusal.metadata().get("x-request-id").is_some());
}

#[tokio::test]
async fn who_may_run_on_a_pool_only_is_let_in_and_refused_elsewhere() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let token = harness.token("ann", &["reader"]).await;
    let mut tasks = TaskServiceClient::new(harness.channel(Some(&token)));
    let named = SubmitTaskRequest { task: Some(command_on(2)), ..Default::default() };
    assert_eq!(refused(tasks.submit_task(named).await).code, Code::PermissionDenied);
    let pool =
        TaskSpec { desktop_pool_id: "pool-1".into(), command: Some(command("true")), ..TaskSpec::default() };
    let pool = SubmitTaskRequest { task: Some(pool), ..Default::default() };
    assert_eq!(refused(tasks.submit_task(pool).await).code, Code::PermissionDenied);
}

#[tokio::test]
async fn a_message_has_a_limit() {
    let harness = Harness::new().await;
    let huge = TaskSpec { desktop_ids: vec!["x".repeat(120); 150_000], ..command_on(1) };
    let request = SubmitTaskRequest { task: Some(huge), ..Default::default() };
    let status = TaskServiceClient::new(harness.channel(Some(TOKEN))).submit_task(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
}
