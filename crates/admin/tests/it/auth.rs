//! Rules for all calls: credentials, deadlines, request ids and size limits.

use std::time::Duration;

use axum::http;
use control::RequestLimits;
use proto::admin::{
    ListAuditEntriesRequest, ListTasksRequest, RevokeTokenRequest, SubmitTaskRequest, TaskSpec,
    task_service_client::TaskServiceClient,
};
use tonic::{Code, Request, Status, codegen::Service as _};

use crate::harness::{Harness, TOKEN, command, command_on, refused};

#[tokio::test]
async fn a_deadline_that_is_over_ends_the_call() {
    let harness = Harness::new().await;
    let mut request = Request::new(ListTasksRequest::default());
    // Shorter than a database round trip.
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
async fn who_may_run_what_a_pool_has_may_not_for_that_run_it_by_a_tag() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let document = r#"{"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["workspace:desktopPools:executeScripts"], "Resource": ["desktopPool:pool-1"]},
        {"Effect": "Allow", "Action": ["workspace:scripts:execute"], "Resource": ["command", "desktop:*"]}]}"#;
    let token = harness.token_with("ann", document).await;
    let mut tasks = TaskServiceClient::new(harness.channel(Some(&token)));
    let mut submit = async |pool: &str, tag: &str| {
        let task = TaskSpec {
            desktop_pool_id: pool.into(),
            desktop_tag: tag.into(),
            command: Some(command("true")),
            ..TaskSpec::default()
        };
        tasks.submit_task(SubmitTaskRequest { task: Some(task), ..Default::default() }).await
    };
    assert_eq!(submit("pool-1", "").await.unwrap().into_inner().task.unwrap().target_count, 2);
    assert_eq!(refused(submit("", "pool=finance").await).code, Code::PermissionDenied);
    assert_eq!(refused(submit("pool-2", "").await).code, Code::PermissionDenied);
}

#[tokio::test]
async fn a_message_has_a_limit() {
    let harness = Harness::new().await;
    let huge = TaskSpec { desktop_ids: vec!["x".repeat(120); 150_000], ..command_on(1) };
    let request = SubmitTaskRequest { task: Some(huge), ..Default::default() };
    let status = TaskServiceClient::new(harness.channel(Some(TOKEN))).submit_task(request).await.unwrap_err();
    let large = refused(Err::<(), _>(status));
    assert_eq!((large.code, large.reason.as_str()), (Code::InvalidArgument, "REQUEST_TOO_LARGE"));
    assert!(large.message.contains("pool or tag"), "{}", large.message);
}

#[tokio::test]
async fn what_the_client_sent_is_not_sent_back_whole() {
    let harness = Harness::new().await;
    let nobody = "x".repeat(100_000);
    let refusal = refused(harness.access().revoke_token(RevokeTokenRequest { token_id: nobody }).await);
    assert_eq!(refusal.code, Code::NotFound);
    assert!(refusal.message.len() <= 1_000);
    let audit = harness.audit().list_audit_entries(ListAuditEntriesRequest::default()).await.unwrap();
    assert!(audit.into_inner().entries[0].reason.len() <= 1_000);
}

#[tokio::test]
async fn small_tasks_take_little_of_the_memory_for_large_ones() {
    let options = RequestLimits { body_budget_bytes: 0, ..RequestLimits::default() };
    let harness = Harness::with(options, None).await;
    harness.desktops(1).await;
    let submitted = (0..40).map(|_| harness.submit(command_on(1)));
    assert_eq!(futures::future::join_all(submitted).await.len(), 40);
}

#[tokio::test]
async fn a_call_that_there_is_not_is_told_so() {
    let harness = Harness::new().await;
    let mut channel = harness.channel(Some(TOKEN));
    let path = "/graywave.admin.v1.TaskService/FrobnicateTask".parse().unwrap();
    let request = http::Request::builder().method("POST").uri::<http::Uri>(path);
    let request =
        request.header("content-type", "application/grpc").body(tonic::body::Body::empty()).unwrap();
    let answer = channel.call(request).await.unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(refused(Err::<(), _>(status)).code, Code::Unimplemented);
}
