//! Errors name their field and reason in machine-readable details.

use control::RequestLimits;
use proto::admin::{
    GetTaskRequest, ListTasksRequest, Rollout, SubmitTaskRequest, TaskSpec, WaveSpec,
    task_service_client::TaskServiceClient,
};
use tonic::Code;

use crate::harness::{Harness, command_on, refused};

#[tokio::test]
async fn each_field_of_a_task_is_named_with_its_path() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let wave = |count| WaveSpec { count: Some(count), ..WaveSpec::default() };
    let rollout = |rollout| TaskSpec { rollout: Some(rollout), ..command_on(3) };
    let cases = [
        (TaskSpec { gray_count: Some(9), ..command_on(3) }, "task.gray_count"),
        (
            TaskSpec { gray_count: Some(2), gray_fail_threshold: Some(5), ..command_on(3) },
            "task.gray_fail_threshold",
        ),
        (TaskSpec { execution_timeout: Some(601), ..command_on(3) }, "task.execution_timeout"),
        (TaskSpec { desktop_ids: Vec::new(), ..command_on(3) }, "task.desktop_ids"),
        (TaskSpec { command: None, ..command_on(3) }, "task.scripts"),
        (
            rollout(Rollout { waves: vec![wave(1), wave(0)], ..Rollout::default() }),
            "task.rollout.waves[1].count",
        ),
        (
            rollout(Rollout { quorum_percent: Some(101.0), ..Rollout::default() }),
            "task.rollout.quorum_percent",
        ),
        (rollout(Rollout { on_halt: 9, ..Rollout::default() }), "task.rollout.on_halt"),
    ];
    for (task, field) in cases {
        let request = SubmitTaskRequest { task: Some(task), idempotency_key: String::new() };
        let wrong = refused(harness.tasks().submit_task(request).await);
        assert_eq!(
            (wrong.code, wrong.fields),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{}",
            wrong.message
        );
        assert!(wrong.reason.starts_with("FIELD_"), "{}", wrong.reason);
    }
    let none = refused(harness.tasks().submit_task(SubmitTaskRequest::default()).await);
    assert_eq!(none.code, Code::InvalidArgument);
    let strangers = SubmitTaskRequest { task: Some(command_on(4)), idempotency_key: String::new() };
    let strangers = refused(harness.tasks().submit_task(strangers).await);
    assert_eq!((strangers.code, strangers.reason.as_str()), (Code::NotFound, "DESKTOP_NOT_FOUND"));
    assert!(
        strangers.message.starts_with("task.desktop_ids: desktops do not exist"),
        "{}",
        strangers.message
    );
}

#[tokio::test]
async fn a_page_has_bounds_and_a_token_is_one_of_ours() {
    let harness = Harness::new().await;
    let list = async |page_size, page_token: &str| {
        let request = ListTasksRequest { page_size, page_token: page_token.into(), ..Default::default() };
        refused(harness.tasks().list_tasks(request).await).fields
    };
    assert_eq!(list(-1, "").await, ["page_size"]);
    assert_eq!(list(0, "zz").await, ["page_token"]);
    let many = ListTasksRequest { page_size: i32::MAX, ..Default::default() };
    harness.tasks().list_tasks(many).await.expect("a page of the maximum size");
}

#[tokio::test]
async fn an_unknown_caller_learns_nothing() {
    let harness = Harness::new().await;
    for (token, reason) in
        [(None, "CREDENTIAL_REQUIRED"), (Some("not-a-token-of-ours"), "CREDENTIAL_UNKNOWN")]
    {
        let mut tasks = TaskServiceClient::new(harness.channel(token));
        let refusal = refused(tasks.get_task(GetTaskRequest { task_id: "0".repeat(32) }).await);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unauthenticated, reason));
    }
}

#[tokio::test]
async fn exceeded_rate_or_concurrency_returns_a_retry_delay() {
    let one = std::num::NonZeroU32::MIN;
    let slow = RequestLimits { rate_per_second: one, rate_burst: one, ..RequestLimits::default() };
    let harness = Harness::with(slow, None).await;
    let mut tasks = harness.tasks();
    tasks.list_tasks(ListTasksRequest::default()).await.unwrap();
    let often = refused(tasks.list_tasks(ListTasksRequest::default()).await);
    assert_eq!((often.code, often.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert!(often.details.retry_info().unwrap().retry_delay.unwrap().as_millis() > 0);

    let full = Harness::with(RequestLimits { max_in_flight: 0, ..RequestLimits::default() }, None).await;
    let busy = refused(full.tasks().list_tasks(ListTasksRequest::default()).await);
    assert_eq!((busy.code, busy.reason.as_str()), (Code::Unavailable, "OVERLOADED"));
}
