//! Submitting, inspecting and changing tasks.

use domain::ids::TaskId;
use proto::admin::{
    Approval, ApproveWaveRequest, CreateScriptRequest, FailThreshold, GetTaskRequest, ListTargetsRequest,
    ListTasksRequest, PauseTaskRequest, PreviewTaskRequest, ResumeTaskRequest, RetryTaskRequest, Rollout,
    Script, ScriptRevision, ScriptType, SetConcurrencyRequest, StopMode, StopTaskRequest, SubmitTaskRequest,
    TaskSpec, TaskStatus, UpdateScriptRequest, WaveSpec, WaveStatus, task_service_client::TaskServiceClient,
};
use tonic::Code;

use crate::harness::{Harness, command, command_on, refused};

/// One desktop first, then all others. The second wave waits for approval.
fn two_waves() -> Rollout {
    Rollout {
        waves: vec![
            WaveSpec { count: Some(1), ..WaveSpec::default() },
            WaveSpec { rest: Some(true), ..WaveSpec::default() },
        ],
        fail_threshold: Some(FailThreshold { count: Some(2), ..FailThreshold::default() }),
        approval: Some(Approval { before_waves: vec![2], distinct_approver: false }),
        ..Rollout::default()
    }
}

#[tokio::test]
async fn a_task_is_stored_once_and_shown_as_it_stands() {
    let harness = Harness::new().await;
    harness.desktops(5).await;
    let request = SubmitTaskRequest {
        task: Some(TaskSpec { gray_count: Some(2), gray_fail_threshold: Some(1), ..command_on(5) }),
        idempotency_key: "once".into(),
    };
    let mut tasks = harness.tasks();
    let first = tasks.submit_task(request.clone()).await.unwrap().into_inner().task.unwrap();
    let again = tasks.submit_task(request.clone()).await.unwrap().into_inner().task.unwrap();
    assert_eq!(first, again, "the same key is the same task");
    let other = SubmitTaskRequest { task: Some(command_on(4)), ..request };
    let reused = refused(tasks.submit_task(other).await);
    assert_eq!((reused.code, reused.reason.as_str()), (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));
    assert!(reused.message.contains("idempotency key"), "{}", reused.message);

    assert_eq!((first.status(), first.target_count), (TaskStatus::Waiting, 5));
    assert_eq!(first.waves.iter().map(|wave| wave.size).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(first.command.as_ref().unwrap().content, "true");
    harness.run(&first.task_id, &[0, 0]).await;
    let shown = tasks.get_task(GetTaskRequest { task_id: first.task_id.clone() }).await.unwrap();
    let shown = shown.into_inner().task.unwrap();
    assert_eq!(shown.status(), TaskStatus::Running);
    assert_eq!(shown.waves[0].status(), WaveStatus::Closed);
    assert_eq!(shown.waves[0].targets.unwrap().success, 2);
    assert_eq!(shown.execution_timeout.unwrap().seconds, 600);
}

#[tokio::test]
async fn a_tag_and_a_pool_stand_for_the_desktops_that_have_them_now() {
    let harness = Harness::new().await;
    harness.desktops(5).await;
    let spec = |pool: &str, tag: &str, ids: &[&str]| TaskSpec {
        desktop_pool_id: pool.into(),
        desktop_tag: tag.into(),
        desktop_ids: ids.iter().map(ToString::to_string).collect(),
        command: Some(command("true")),
        ..TaskSpec::default()
    };
    let tagged = harness.submit(spec("", "pool=finance", &[])).await;
    assert_eq!((tagged.target_count, tagged.desktop_tag.as_str()), (3, "pool=finance"));
    let targets = ListTargetsRequest { task_id: tagged.task_id, ..Default::default() };
    let targets = harness.tasks().list_targets(targets).await.unwrap().into_inner().targets;
    let mut ids: Vec<_> = targets.into_iter().map(|target| target.desktop_id).collect();
    ids.sort();
    assert_eq!(ids, ["desktop-0", "desktop-2", "desktop-4"]);
    assert_eq!(harness.submit(spec("pool-1", "", &[])).await.target_count, 5);
    let some = harness.submit(spec("pool-1", "", &["desktop-1"])).await;
    assert_eq!((some.target_count, some.desktop_pool_id.as_str()), (1, "pool-1"));

    let mut tasks = harness.tasks();
    let mut refusal = async |spec| {
        let request = SubmitTaskRequest { task: Some(spec), idempotency_key: String::new() };
        refused(tasks.submit_task(request).await)
    };
    let both = refusal(spec("pool-1", "pool=finance", &[])).await;
    assert_eq!((both.code, both.fields), (Code::InvalidArgument, vec!["task.desktop_tag".to_owned()]));
    let named = refusal(spec("", "pool=finance", &["desktop-1"])).await;
    assert_eq!((named.code, named.fields), (Code::InvalidArgument, vec!["task.desktop_ids".to_owned()]));
    assert_eq!(refusal(spec("", "pool=sales", &[])).await.code, Code::NotFound);
    assert_eq!(refusal(spec("pool-1", "", &["desktop-9"])).await.code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_script_runs_at_the_revision_that_is_named() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let mut scripts = harness.scripts();
    let script = |script_id: &str, content: &str| Script {
        script_id: script_id.into(),
        name: "patch".into(),
        script_type: ScriptType::Shell.into(),
        content: content.into(),
        ..Script::default()
    };
    let made = CreateScriptRequest { script: Some(script("", "one")), idempotency_key: String::new() };
    let script_id = scripts.create_script(made).await.unwrap().into_inner().script.unwrap().script_id;
    let changed = UpdateScriptRequest { script: Some(script(&script_id, "two")), ..Default::default() };
    scripts.update_script(changed).await.unwrap();
    let spec = |revision| TaskSpec {
        desktop_ids: vec!["desktop-0".into()],
        scripts: vec![ScriptRevision { script_id: script_id.clone(), revision, ..ScriptRevision::default() }],
        ..TaskSpec::default()
    };
    for (asked, pinned) in [(0, 2), (1, 1), (2, 2)] {
        assert_eq!(harness.submit(spec(asked)).await.scripts[0].revision, pinned);
    }
    // The same script with two revisions is an error: neither may be dropped silently.
    let both = TaskSpec { scripts: [spec(1).scripts, spec(0).scripts].concat(), ..spec(1) };
    let both = SubmitTaskRequest { task: Some(both), idempotency_key: String::new() };
    assert_eq!(refused(harness.tasks().submit_task(both).await).fields, ["task.scripts"]);
    let request = SubmitTaskRequest { task: Some(spec(3)), idempotency_key: String::new() };
    assert_eq!(refused(harness.tasks().submit_task(request).await).code, Code::NotFound);
}

#[tokio::test]
async fn preview_stores_nothing_and_names_desktops_on_request() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let mut request = PreviewTaskRequest {
        task: Some(TaskSpec { rollout: Some(two_waves()), ..command_on(4) }),
        ..PreviewTaskRequest::default()
    };
    let mut tasks = harness.tasks();
    let short = tasks.preview_task(request.clone()).await.unwrap().into_inner();
    assert_eq!((short.target_count, short.waves.len()), (4, 2));
    assert!(short.waves.iter().all(|wave| wave.desktop_ids.is_empty()));
    assert!(short.waves[1].needs_approval && short.worst_case.unwrap().started == 4);
    request.with_desktop_ids = true;
    let whole = tasks.preview_task(request).await.unwrap().into_inner();
    assert_eq!(whole.waves.iter().map(|wave| wave.desktop_ids.len()).sum::<usize>(), 4);
    assert!(tasks.list_tasks(ListTasksRequest::default()).await.unwrap().into_inner().tasks.is_empty());
}

#[tokio::test]
async fn tasks_and_targets_are_listed_in_pages() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(harness.submit(command_on(3)).await.task_id);
    }
    ids.reverse();
    let mut tasks = harness.tasks();
    let mut request = ListTasksRequest { page_size: 2, ..Default::default() };
    let first = tasks.list_tasks(request.clone()).await.unwrap().into_inner();
    request.page_token = first.next_page_token;
    let second = tasks.list_tasks(request).await.unwrap().into_inner();
    assert_eq!(second.next_page_token, "");
    let listed: Vec<_> = first.tasks.into_iter().chain(second.tasks).map(|task| task.task_id).collect();
    assert_eq!(listed, ids);
    let waiting =
        |status: TaskStatus| ListTasksRequest { statuses: vec![status.into()], ..Default::default() };
    assert_eq!(tasks.list_tasks(waiting(TaskStatus::Waiting)).await.unwrap().into_inner().tasks.len(), 3);
    assert!(tasks.list_tasks(waiting(TaskStatus::Halted)).await.unwrap().into_inner().tasks.is_empty());

    let mut request = ListTargetsRequest { task_id: ids[0].clone(), page_size: 2, ..Default::default() };
    let first = tasks.list_targets(request.clone()).await.unwrap().into_inner();
    request.page_token = first.next_page_token;
    let second = tasks.list_targets(request).await.unwrap().into_inner();
    let ordinals: Vec<_> = first.targets.iter().chain(&second.targets).map(|target| target.ordinal).collect();
    assert_eq!(ordinals, [0, 1, 2]);
}

#[tokio::test]
async fn tasks_are_found_by_author_first_digits_and_time() {
    let harness = Harness::new().await;
    harness.project().await;
    harness.desktops(1).await;
    let first = harness.submit(command_on(1)).await.task_id;
    let last = harness.submit(command_on(1)).await.task_id;
    let token = harness.token("ann", &["admin"]).await;
    let mut of_ann = TaskServiceClient::new(harness.channel(Some(&token)));
    let mut tasks = harness.tasks();
    let mut ids = async |request: ListTasksRequest| {
        let found = tasks.list_tasks(request).await;
        found.map(|page| page.into_inner().tasks.into_iter().map(|it| it.task_id).collect::<Vec<_>>())
    };
    let mine = ListTasksRequest { mine: true, ..Default::default() };
    assert_eq!(ids(mine.clone()).await.unwrap(), [last.clone(), first.clone()]);
    assert!(of_ann.list_tasks(mine).await.unwrap().into_inner().tasks.is_empty());
    let prefix = |digits: &str| ListTasksRequest { task_id_prefix: digits.into(), ..Default::default() };
    assert_eq!(ids(prefix(first.get(..8).unwrap())).await.unwrap(), [last.clone(), first.clone()]);
    assert_eq!(ids(prefix(&first)).await.unwrap(), [first.as_str()]);
    assert_eq!(refused(ids(prefix("zz")).await).fields, ["task_id_prefix"]);
    // The time in an id is that of its first digits.
    let made_at = first.parse::<TaskId>().unwrap().made_at().unwrap().timestamp();
    let since = |seconds| ListTasksRequest {
        create_time_from: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..Default::default()
    };
    assert_eq!(ids(since(made_at)).await.unwrap(), [last, first]);
    assert_eq!(ids(since(made_at + 2)).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_person_pauses_approves_and_changes_concurrency() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let spec = TaskSpec { rollout: Some(two_waves()), ..command_on(4) };
    let task = harness.submit(spec).await;
    let (mut tasks, task_id) = (harness.tasks(), task.task_id.clone());
    let key = String::new;
    let paused = PauseTaskRequest {
        task_id: task_id.clone(),
        idempotency_key: key(),
        reason: "too slow".into(),
        ..Default::default()
    };
    assert!(tasks.pause_task(paused).await.unwrap().into_inner().task.unwrap().paused);
    let resumed =
        ResumeTaskRequest { task_id: task_id.clone(), idempotency_key: key(), ..Default::default() };
    assert!(!tasks.resume_task(resumed).await.unwrap().into_inner().task.unwrap().paused);
    harness.run(&task_id, &[0]).await;

    let approval = |wave, plan_hash: &str| ApproveWaveRequest {
        task_id: task_id.clone(),
        wave,
        plan_hash: plan_hash.into(),
        ..Default::default()
    };
    assert_eq!(refused(tasks.approve_wave(approval(2, "00")).await).code, Code::FailedPrecondition);
    assert_eq!(refused(tasks.approve_wave(approval(70_000, "")).await).code, Code::NotFound);
    let approved = tasks.approve_wave(approval(2, &task.plan_hash)).await.unwrap().into_inner().task.unwrap();
    assert_eq!(approved.waves[1].approved_by, "configuration");

    let concurrency = |max_concurrency| SetConcurrencyRequest {
        task_id: task_id.clone(),
        max_concurrency,
        idempotency_key: key(),
    };
    let changed = tasks.set_concurrency(concurrency(Some(1))).await.unwrap().into_inner().task.unwrap();
    assert_eq!(changed.max_concurrency, Some(1));
    let wrong = refused(tasks.set_concurrency(concurrency(Some(0))).await);
    assert_eq!((wrong.code, wrong.reason.as_str()), (Code::InvalidArgument, "FIELD_OUT_OF_RANGE"));
    let free = tasks.set_concurrency(concurrency(None)).await.unwrap().into_inner().task.unwrap();
    assert_eq!(free.max_concurrency, None);
}

#[tokio::test]
async fn a_task_is_stopped_and_retried() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let failed = harness.submit(command_on(2)).await.task_id;
    harness.run(&failed, &[0, 7]).await;
    let mut tasks = harness.tasks();
    let retry =
        RetryTaskRequest { task_id: failed.clone(), idempotency_key: "again".into(), ..Default::default() };
    let retried = tasks.retry_task(retry.clone()).await.unwrap().into_inner().task.unwrap();
    assert_eq!((retried.target_count, retried.attempt), (1, 2));
    assert_eq!(retried.retry_of.as_ref().unwrap().task_id, failed);
    let again = tasks.retry_task(retry).await.unwrap().into_inner().task.unwrap();
    assert_eq!(again.task_id, retried.task_id);

    let stop = StopTaskRequest {
        task_id: retried.task_id.clone(),
        mode: StopMode::Drain.into(),
        ..Default::default()
    };
    let stopped = tasks.stop_task(stop).await.unwrap().into_inner().task.unwrap();
    assert_eq!(stopped.status(), TaskStatus::Stopped);
    let both = StopTaskRequest { task_id: failed.clone(), record_id: "x".into(), ..Default::default() };
    let both = refused(tasks.stop_task(both).await);
    assert_eq!((both.code, both.fields), (Code::InvalidArgument, vec!["record_id".to_owned()]));
    let none = refused(tasks.stop_task(StopTaskRequest::default()).await);
    assert_eq!(none.code, Code::InvalidArgument);
    let unknown = StopTaskRequest { task_id: failed, mode: 9, ..Default::default() };
    assert_eq!(refused(tasks.stop_task(unknown).await).fields, ["mode"]);
}
