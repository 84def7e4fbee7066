//! Projects, freezes and project limits.

use control::RequestLimits;
use mtls::{Identity, Role};
use proto::admin::{
    Approval, CreateProjectRequest, DrainWorkerRequest, FailThreshold, FreezeProjectRequest,
    GetProjectRequest, GetTaskRequest, Limits, ListAuditEntriesRequest, ListProjectsRequest,
    ListTasksRequest, ListWorkersRequest, PreviewTaskRequest, RevokeProjectRequest, Rollout, StopMode,
    StopProjectRequest, SubmitTaskRequest, TaskSpec, TaskStatus, UndrainWorkerRequest,
    UnfreezeProjectRequest, UnrevokeProjectRequest, UpdateLimitsRequest, WaveSpec,
    project_service_client::ProjectServiceClient, task_service_client::TaskServiceClient,
    worker_service_client::WorkerServiceClient,
};
use tonic::Code;

use crate::harness::{Harness, TOKEN, command_on, refused};

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() })
}

#[tokio::test]
async fn a_project_is_frozen_and_unfrozen() {
    let harness = Harness::new().await;
    let mut projects = harness.projects();
    let freeze = FreezeProjectRequest {
        reason: "a bad patch".into(),
        idempotency_key: "k".into(),
        ticket: "OPS-7".into(),
    };
    for _ in 0..2 {
        let frozen = projects.freeze_project(freeze.clone()).await.unwrap().into_inner().freeze.unwrap();
        assert!(frozen.frozen && frozen.reason == "a bad patch" && frozen.frozen_by == "configuration");
        assert_eq!(frozen.ticket, "OPS-7");
    }
    let shown = projects.get_project(GetProjectRequest {}).await.unwrap().into_inner();
    assert!(shown.freeze.unwrap().frozen && shown.project_id == "project-1");
    projects.unfreeze_project(UnfreezeProjectRequest::default()).await.unwrap();
    let shown = projects.get_project(GetProjectRequest {}).await.unwrap().into_inner();
    assert!(!shown.freeze.unwrap().frozen);
    // A repeated request returns the current state, not the state at the first request.
    let unfreeze = UnfreezeProjectRequest { idempotency_key: "u".into(), ..Default::default() };
    projects.unfreeze_project(unfreeze.clone()).await.unwrap();
    projects.freeze_project(FreezeProjectRequest::default()).await.unwrap();
    let again = projects.unfreeze_project(unfreeze).await.unwrap().into_inner().freeze.unwrap();
    assert!(again.frozen);
    let long = FreezeProjectRequest { reason: "x".repeat(501), ..Default::default() };
    assert_eq!(refused(projects.freeze_project(long).await).fields, ["reason"]);
}

#[tokio::test]
async fn limits_change_as_far_as_the_mask_goes() {
    let harness = Harness::new().await;
    let mut projects = harness.projects();
    let mut update = async |in_flight, per_desktop, update_mask| {
        let limits = Some(Limits {
            max_in_flight: in_flight,
            max_running_per_desktop: per_desktop,
            ..Default::default()
        });
        let answer = projects.update_limits(UpdateLimitsRequest { limits, update_mask }).await;
        answer.map(|answer| answer.into_inner().limits.unwrap())
    };
    let set = |in_flight, per_desktop| Limits {
        max_in_flight: in_flight,
        max_running_per_desktop: per_desktop,
        ..Default::default()
    };
    assert_eq!(update(Some(100), Some(2), None).await.unwrap(), set(Some(100), Some(2)));
    let one = update(Some(50), None, mask(&["max_in_flight"])).await.unwrap();
    assert_eq!(one, set(Some(50), Some(2)), "the other limit stays");
    let taken = update(None, None, mask(&["max_running_per_desktop"])).await.unwrap();
    assert_eq!(taken, set(Some(50), None));
    assert_eq!(refused(update(None, None, mask(&["name"])).await).fields, ["update_mask"]);
    assert_eq!(refused(update(Some(0), None, None).await).fields, ["limits.max_in_flight"]);
    assert_eq!(update(None, Some(3), None).await.unwrap(), set(Some(50), Some(3)), "omitted limits stay");
    assert_eq!(update(None, None, mask(&["*"])).await.unwrap(), set(None, None));
    assert_eq!(refused(update(None, None, None).await).fields, ["update_mask"]);
    let none = UpdateLimitsRequest { limits: None, update_mask: None };
    assert_eq!(refused(harness.projects().update_limits(none).await).fields, ["limits"]);
}

#[tokio::test]
async fn guardrails_are_named_in_reason_and_field() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let mut projects = harness.projects();
    let limits = Some(Limits {
        require_canary_above: Some(1),
        require_threshold: Some(true),
        max_wave_percent: Some(75.0),
        require_reason: Some(true),
        require_approval_above: Some(3),
        ..Default::default()
    });
    let stored = projects.update_limits(UpdateLimitsRequest { limits, update_mask: None }).await.unwrap();
    assert_eq!(stored.into_inner().limits, limits);
    let percent = Some(Limits { max_wave_percent: Some(0.0), ..Default::default() });
    let wrong = projects.update_limits(UpdateLimitsRequest { limits: percent, update_mask: None }).await;
    assert_eq!(refused(wrong).fields, ["limits.max_wave_percent"]);
    let wave = |size: i64, count: Option<i64>| WaveSpec {
        count: Some(size),
        fail_threshold: count.map(|count| FailThreshold { count: Some(count), ..Default::default() }),
        ..Default::default()
    };
    let spec = |reason: &str, waves: Vec<WaveSpec>, before: Option<i64>| TaskSpec {
        reason: reason.into(),
        ticket: "OPS-7".into(),
        rollout: Some(Rollout {
            waves,
            approval: before.map(|wave| Approval { before_waves: vec![wave], distinct_approver: false }),
            ..Default::default()
        }),
        ..command_on(4)
    };
    let good = spec("fix it", vec![wave(1, Some(1)), wave(3, Some(1))], Some(2));
    for (wanted, reason, field) in [
        (spec("", vec![wave(1, Some(1)), wave(3, Some(1))], Some(2)), "REASON_REQUIRED", "task.reason"),
        (spec("x", vec![wave(2, Some(1)), wave(2, Some(1))], Some(2)), "CANARY_REQUIRED", "task.gray_count"),
        (
            spec("x", vec![wave(1, Some(1)), wave(3, None)], Some(2)),
            "THRESHOLD_REQUIRED",
            "task.rollout.fail_threshold",
        ),
        (
            spec("x", vec![wave(1, Some(1)), wave(3, Some(1))], None),
            "APPROVAL_REQUIRED",
            "task.rollout.approval.before_waves",
        ),
        (spec("a\u{7}b", vec![], None), "FIELD_INVALID", "task.reason"),
    ] {
        let task = Some(wanted);
        let submitted = refused(
            harness.tasks().submit_task(SubmitTaskRequest { task: task.clone(), ..Default::default() }).await,
        );
        assert_eq!((submitted.reason.as_str(), submitted.fields), (reason, vec![field.to_owned()]));
        let previewed =
            refused(harness.tasks().preview_task(PreviewTaskRequest { task, ..Default::default() }).await);
        assert_eq!(previewed.reason, reason, "a preview is refused alike");
    }
    let task = harness.submit(good).await;
    assert_eq!((task.submit_reason.as_str(), task.ticket.as_str()), ("fix it", "OPS-7"));
    let found = async |reason: &str, ticket: &str| {
        let list = ListTasksRequest { reason: reason.into(), ticket: ticket.into(), ..Default::default() };
        harness.tasks().list_tasks(list).await.unwrap().into_inner().tasks.len()
    };
    assert_eq!((found("FIX", "").await, found("", "OPS-7").await, found("fix", "OPS-7").await), (1, 1, 1));
    assert_eq!((found("%", "").await, found("", "OPS").await), (0, 0), "no wildcards, no prefixes");
}

#[tokio::test]
async fn admin_certificate_manages_projects_but_reads_no_project() {
    let ann = Identity::role(Role::Admin, "ann").unwrap();
    let harness = Harness::with(RequestLimits::default(), Some(ann)).await;
    let mut projects = ProjectServiceClient::new(harness.channel(None));
    let make = |id: &str, name: &str| CreateProjectRequest { project_id: id.into(), name: name.into() };
    let made = projects.create_project(make("project-2", "")).await.unwrap().into_inner().project.unwrap();
    assert_eq!((made.project_id.as_str(), made.name.as_str()), ("project-2", "project-2"));
    projects.create_project(make("project-1", "the first")).await.unwrap();
    assert_eq!(refused(projects.create_project(make("project-1", "")).await).code, Code::FailedPrecondition);
    assert_eq!(refused(projects.create_project(make("", "")).await).fields, ["project_id"]);
    let page = ListProjectsRequest { page_size: 1, ..Default::default() };
    let first = projects.list_projects(page.clone()).await.unwrap().into_inner();
    assert_eq!(first.projects[0].name, "the first");
    let page = ListProjectsRequest { page_token: first.next_page_token, ..page };
    assert_eq!(projects.list_projects(page).await.unwrap().into_inner().projects[0].project_id, "project-2");
    projects.revoke_project(RevokeProjectRequest { project_id: "project-2".into() }).await.unwrap();
    let again = RevokeProjectRequest { project_id: "project-2".into() };
    assert_eq!(refused(projects.revoke_project(again).await).code, Code::NotFound);
    let mut workers = WorkerServiceClient::new(harness.channel(None));
    workers.list_workers(ListWorkersRequest {}).await.unwrap();
    harness.desktops(1).await;
    let drain = DrainWorkerRequest { worker_id: "worker-1".into() };
    let drained = workers.drain_worker(drain).await.unwrap().into_inner().worker.unwrap();
    assert_eq!(drained.drain_requested_by, "graywave://role/admin/ann");
    let undrain = UndrainWorkerRequest { worker_id: "worker-1".into() };
    assert!(!workers.undrain_worker(undrain).await.unwrap().into_inner().worker.unwrap().drain_requested);

    // Project calls require a token of the project, and a token never makes its caller an operator.
    let mut tasks = TaskServiceClient::new(harness.channel(None));
    let task = GetTaskRequest { task_id: "0".repeat(32) };
    assert_eq!(refused(tasks.get_task(task).await).code, Code::Unauthenticated);
    let mut with_token = ProjectServiceClient::new(harness.channel(Some(TOKEN)));
    let refusal = refused(with_token.list_projects(ListProjectsRequest::default()).await);
    assert_eq!(refusal.code, Code::PermissionDenied);

    let entries = harness.audit().list_audit_entries(ListAuditEntriesRequest::default()).await.unwrap();
    let entry = &entries.into_inner().entries[0];
    assert_eq!(entry.action, "graywave:projects:create");
    assert_eq!(
        (entry.principal.as_str(), entry.credential.as_str()),
        ("certificate", "graywave://role/admin/ann")
    );
}

#[tokio::test]
async fn revoked_project_is_frozen_stopped_and_unrevoked() {
    let ann = Identity::role(Role::Admin, "ann").unwrap();
    let harness = Harness::with(RequestLimits::default(), Some(ann)).await;
    let mut projects = ProjectServiceClient::new(harness.channel(None));
    let project_id = || "project-1".to_owned();
    let made = CreateProjectRequest { project_id: project_id(), name: String::new() };
    projects.create_project(made).await.unwrap();
    harness.desktops(3).await;
    let task_id = harness.submit(command_on(3)).await.task_id;
    projects.revoke_project(RevokeProjectRequest { project_id: project_id() }).await.unwrap();
    let reason = "SELECT reason FROM project_freeze WHERE project_id = 'project-1'";
    assert_eq!(harness.text(reason).await, "the project is revoked", "no further wave opens");
    assert_eq!(
        refused(harness.projects().get_project(GetProjectRequest {}).await).code,
        Code::Unauthenticated
    );

    let stop = StopProjectRequest { project_id: project_id(), mode: StopMode::Kill.into() };
    let stopped = projects.stop_project(stop.clone()).await.unwrap().into_inner();
    assert_eq!(stopped.stopped_tasks, 1, "no caller of the project could stop it");
    assert_eq!(projects.stop_project(stop).await.unwrap().into_inner().stopped_tasks, 0);

    let typo = StopProjectRequest { project_id: "project-9".into(), ..StopProjectRequest::default() };
    assert_eq!(refused(projects.stop_project(typo).await).code, Code::NotFound);

    let unrevoke = UnrevokeProjectRequest { project_id: project_id() };
    projects.unrevoke_project(unrevoke.clone()).await.unwrap();
    assert_eq!(refused(projects.unrevoke_project(unrevoke).await).code, Code::NotFound);
    let mut own = harness.projects();
    assert!(own.get_project(GetProjectRequest {}).await.unwrap().into_inner().freeze.unwrap().frozen);
    let task = harness.tasks().get_task(GetTaskRequest { task_id }).await.unwrap().into_inner().task.unwrap();
    assert_eq!(task.status(), TaskStatus::Stopped);
    own.unfreeze_project(UnfreezeProjectRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_a_principal_is_as_good_as_its_token() {
    let ann = Identity::principal("project-1", "ann").unwrap();
    let harness = Harness::with(RequestLimits::default(), Some(ann)).await;
    let mut tasks = TaskServiceClient::new(harness.channel(None));
    let list = ListTasksRequest::default;
    let unknown = refused(tasks.list_tasks(list()).await);
    assert_eq!(unknown.code, Code::Unauthenticated, "the principal does not exist");
    harness.token("ann", &["reader"]).await;
    tasks.list_tasks(list()).await.unwrap();
    let mut projects = ProjectServiceClient::new(harness.channel(None));
    let freeze = FreezeProjectRequest { reason: "it may not".into(), ..Default::default() };
    assert_eq!(refused(projects.freeze_project(freeze).await).code, Code::PermissionDenied);
    let listed = projects.list_projects(ListProjectsRequest::default()).await;
    assert_eq!(refused(listed).code, Code::PermissionDenied, "a principal does not manage the cluster");
    let entries = harness.audit().list_audit_entries(ListAuditEntriesRequest::default()).await.unwrap();
    let entry = &entries.into_inner().entries[0];
    assert_eq!((entry.principal.as_str(), entry.credential.as_str()), ("ann", "certificate:0a"));
    // A token takes precedence over any certificate.
    let mut with_token = ProjectServiceClient::new(harness.channel(Some(TOKEN)));
    with_token.unfreeze_project(UnfreezeProjectRequest::default()).await.unwrap();

    harness.control.revoke_project(&testkit::project()).await.unwrap();
    assert_eq!(refused(tasks.list_tasks(list()).await).code, Code::Unauthenticated);
}

#[tokio::test]
async fn without_a_certificate_of_an_admin_nobody_manages_projects() {
    for certificate in [None, Some(Identity::role(Role::Api, "a").unwrap())] {
        let harness = Harness::with(RequestLimits::default(), certificate).await;
        let mut projects = ProjectServiceClient::new(harness.channel(None));
        let made = CreateProjectRequest { project_id: "p".into(), name: String::new() };
        assert_eq!(refused(projects.create_project(made).await).code, Code::Unauthenticated);
    }
}
