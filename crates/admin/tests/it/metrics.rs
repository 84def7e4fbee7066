//! Metrics of calls by method and status code.

use proto::admin::{GetTaskRequest, ListTasksRequest, task_service_client::TaskServiceClient};

use crate::harness::Harness;

#[tokio::test]
async fn every_answer_is_counted_with_its_code() {
    let exposition = telemetry::metric::install(None).unwrap();
    let harness = Harness::new().await;
    harness.tasks().list_tasks(ListTasksRequest::default()).await.unwrap();
    harness.tasks().get_task(GetTaskRequest { task_id: "none".into() }).await.unwrap_err();
    let mut strangers = TaskServiceClient::new(harness.channel(None));
    strangers.list_tasks(ListTasksRequest::default()).await.unwrap_err();
    let text = exposition.render();
    for (method, code) in [("ListTasks", "OK"), ("GetTask", "NOT_FOUND"), ("ListTasks", "UNAUTHENTICATED")] {
        let line = format!(
            "graywave_admin_calls_total{{service=\"TaskService\",method=\"{method}\",code=\"{code}\"}}"
        );
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let seconds = "graywave_admin_call_seconds_count{service=\"TaskService\",method=\"GetTask\"}";
    assert!(text.contains(seconds), "{text}");
}
