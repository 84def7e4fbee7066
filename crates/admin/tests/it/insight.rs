//! Explanations, groups of failures and what-if replays.

use proto::admin::{
    ExplainTaskRequest, FailThreshold, ListFailureMembersRequest, ListFailuresRequest, Outcome, Rollout,
    WhatIfEnding, WhatIfRequest,
};
use tonic::Code;

use crate::harness::{Harness, command_on, refused};

#[tokio::test]
async fn failures_are_grouped_explained_and_replayed() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let task_id = harness.submit(command_on(4)).await.task_id;
    harness.run(&task_id, &[0, 3, 3, 3]).await;
    let mut insight = harness.insight();
    let request = ListFailuresRequest { task_id: task_id.clone(), ..Default::default() };
    let found = insight.list_failures(request).await.unwrap().into_inner();
    assert_eq!((found.records, found.groups.len()), (3, 1));
    let group = &found.groups[0];
    assert_eq!((group.outcome(), group.exit_code, group.records), (Outcome::Failed, Some(3), 3));
    assert!((group.share_percent - 100.0).abs() < f64::EPSILON);
    let mut request = ListFailureMembersRequest {
        task_id: task_id.clone(),
        fingerprint_id: group.fingerprint_id.clone(),
        page_size: 2,
        ..Default::default()
    };
    let first = insight.list_failure_members(request.clone()).await.unwrap().into_inner();
    request.page_token = first.next_page_token;
    let second = insight.list_failure_members(request).await.unwrap().into_inner();
    assert_eq!((first.members.len(), second.members.len()), (2, 1));

    let whole = ExplainTaskRequest { task_id: task_id.clone(), desktop_id: String::new() };
    let steps = insight.explain_task(whole).await.unwrap().into_inner().steps;
    assert!(steps.len() > 2 && steps[0].time.is_some(), "{steps:?}");
    let one = |desktop: &str| ExplainTaskRequest { task_id: task_id.clone(), desktop_id: desktop.into() };
    assert!(!insight.explain_task(one("desktop-0")).await.unwrap().into_inner().steps.is_empty());
    assert_eq!(refused(insight.explain_task(one("desktop-9")).await).code, Code::NotFound);
    assert_eq!(refused(insight.explain_task(one("a\0")).await).fields, ["desktop_id"]);

    let threshold = |count| Rollout {
        fail_threshold: Some(FailThreshold { count: Some(count), ..FailThreshold::default() }),
        ..Rollout::default()
    };
    let mut replay = async |count| {
        let request = WhatIfRequest { task_id: task_id.clone(), rollout: Some(threshold(count)) };
        insight.what_if(request).await
    };
    assert_eq!(replay(2).await.unwrap().into_inner().ending(), WhatIfEnding::Halted);
    assert_eq!(replay(4).await.unwrap().into_inner().ending(), WhatIfEnding::Completed);
    assert_eq!(refused(replay(-1).await).fields, ["rollout.fail_threshold.count"]);
    let none = WhatIfRequest { task_id, rollout: None };
    assert_eq!(refused(harness.insight().what_if(none).await).fields, ["rollout"]);
}

#[tokio::test]
async fn a_task_that_runs_cannot_be_replayed() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submit(command_on(1)).await.task_id;
    let request = WhatIfRequest { task_id: task_id.clone(), rollout: Some(Rollout::default()) };
    let early = refused(harness.insight().what_if(request).await);
    assert_eq!((early.code, early.reason.as_str()), (Code::FailedPrecondition, "TASK_NOT_ENDED"));
    let request = ListFailureMembersRequest { task_id, fingerprint_id: "x".into(), ..Default::default() };
    assert_eq!(refused(harness.insight().list_failure_members(request).await).code, Code::NotFound);
}
