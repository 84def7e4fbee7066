//! The gRPC service over an engine: malformed entries of one peer do not block the results of
//! another.

use domain::{
    limits,
    outcome::Outcome,
    policy::{Cleanup, RolloutPolicy},
};
use prost::Message as _;
use proto::scheduler::{
    PullRequest, PullResponse, ReportRequest, ReportResponse, ReturnedTarget, TargetResult,
    UpdatePresenceRequest, scheduler_service_client::SchedulerServiceClient,
    scheduler_service_server::SchedulerService,
};
use scheduler::{Leased, SchedulerServiceServer, Wakes};
use testkit::Submit;
use tokio_util::sync::CancellationToken;

use crate::harness::{Harness, start, worker};

type Client<S> = SchedulerServiceClient<SchedulerServiceServer<S>>;

/// Client of a service over the harness's engine, with a running clock.
pub(crate) fn client(harness: &Harness) -> Client<impl SchedulerService + use<>> {
    let stop = CancellationToken::new();
    let service = scheduler::service(harness.engine.clone(), Wakes::default(), None, stop);
    SchedulerServiceClient::new(service).max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
}

/// Results of a batch's targets, as its worker reports them.
fn results(leased: &Leased) -> Vec<TargetResult> {
    let result = |member: &domain::batching::Member| TargetResult {
        task_id: leased.batch.terms.task_id.to_string(),
        ordinal: member.ordinal,
        attempt: 1,
        batch_id: leased.batch.batch_id.to_string(),
        scripts: vec![proto::types::ScriptResult {
            outcome: Outcome::Success.as_str().into(),
            exit_code: Some(0),
            started_at_unix_ms: start().timestamp_millis(),
            ended_at_unix_ms: start().timestamp_millis(),
            ..Default::default()
        }],
        project_id: leased.spec.facts.project_id.to_string(),
        desktop_id: member.desktop_id.to_string(),
        ..TargetResult::default()
    };
    leased.batch.members.iter().map(result).collect()
}

async fn report(harness: &Harness, results: Vec<TargetResult>) -> ReportResponse {
    let request = ReportRequest { worker_id: "w".into(), results, ..ReportRequest::default() };
    client(harness).report(request).await.unwrap().into_inner()
}

/// Pulls until nothing is ready; returns the responses that carried batches.
async fn pull_all(harness: &Harness) -> Vec<PullResponse> {
    let mut answers = Vec::new();
    loop {
        let request = PullRequest { worker_id: "w".into(), capacity: 10_000, ..PullRequest::default() };
        let answer = client(harness).pull(request).await.unwrap().into_inner();
        if answer.batches.is_empty() {
            return answers;
        }
        answers.push(answer);
    }
}

/// Text of a command of the maximum size: a number followed by four-byte characters.
fn largest_command(number: usize) -> String {
    let number = format!("#{number}");
    "\u{1f980}".repeat(limits::MAX_SCRIPT_CONTENT_CHARS - number.len()) + &number
}

#[tokio::test]
async fn pull_answer_stays_within_its_byte_budget() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    // 60 batches of 400,000 bytes of content are 24 MB; a message holds 16 MiB.
    for number in 0..60 {
        let submit = Submit { command: largest_command(number), ..Submit::default() };
        harness.submit_and_cut(submit).await;
    }
    let answers = pull_all(&harness).await;
    assert!(answers.len() > 1, "one message cannot hold all batches");
    assert_eq!(answers.iter().map(|answer| answer.batches.len()).sum::<usize>(), 60);
    for answer in &answers {
        assert!(answer.encoded_len() <= limits::SOFT_PULL_BYTES, "{}", answer.encoded_len());
        assert!(answer.batches.iter().all(|batch| batch.epoch <= 1), "no batch is leased and returned");
    }
    let first = &answers[0];
    let contents: Vec<&str> = first
        .batches
        .iter()
        .map(|batch| batch.spec.as_ref().unwrap().script_indexes[0] as usize)
        .map(|index| first.scripts[index].content.as_str())
        .collect();
    let oldest_first: Vec<String> = (0..contents.len()).map(largest_command).collect();
    assert!(contents == oldest_first, "the oldest batches are leased first");
}

#[tokio::test]
async fn script_of_many_batches_is_sent_once() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1_200, start()).await;
    for _ in 0..2 {
        let submit = Submit { targets: 1_200, command: largest_command(0), ..Submit::default() };
        harness.submit_and_cut(submit).await;
    }
    harness.submit_and_cut(Submit { command: largest_command(1), ..Submit::default() }).await;
    let answers = pull_all(&harness).await;
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].batches.len(), answers[0].scripts.len()), (7, 2));
}

#[tokio::test]
async fn out_of_range_times_refuse_that_result_alone() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..5, start()).await;
    harness.submit_and_cut(Submit { targets: 5, ..Submit::default() }).await;
    let leased = harness.lease(&w, 10, start()).await;
    let mut results = results(&leased[0]);
    // Years outside the ranges of Postgres, of RFC 3339 and of every calendar.
    for (place, ms) in [-300_000_000_000_000, 300_000_000_000_000, i64::MIN, i64::MAX].into_iter().enumerate()
    {
        let script = &mut results[place].scripts[0];
        if place % 2 == 0 { script.started_at_unix_ms = ms } else { script.ended_at_unix_ms = ms }
    }
    let answer = report(&harness, results).await;
    assert_eq!((answer.stored, answer.refused.len(), answer.failed_task_ids.len()), (1, 4, 0));
    assert_eq!(
        answer.refused[0].reason,
        "started_at_unix_ms: -300000000000000 is out of range: 0 to 253402300799999 (years 1970 to 9999)"
    );
    assert_eq!(harness.count("SELECT count(*) FROM record").await, 1);
}

#[tokio::test]
async fn unstorable_task_keeps_no_other_from_being_stored() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    let mut all = Vec::new();
    for _ in 0..3 {
        let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
        all.push(task_id);
    }
    let leased = harness.lease(&w, 10, start()).await;
    let mut connection = harness.database.connection().await.unwrap();
    // The task with the smallest id comes first, so a failure there would lose all later tasks.
    sqlx::query("UPDATE wave SET target_tally = '{1}' WHERE task_id = $1")
        .bind(all[0].0)
        .execute(&mut connection)
        .await
        .unwrap();
    let answer = report(&harness, leased.iter().flat_map(results).collect()).await;
    assert_eq!((answer.stored, answer.refused.len()), (4, 0));
    assert_eq!(answer.failed_task_ids, [all[0].to_string()]);
    assert_eq!(harness.count("SELECT count(*) FROM record").await, 4);
}

#[tokio::test]
async fn malformed_returned_target_is_refused_alone() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&w, 10, start()).await;
    let returned = vec![ReturnedTarget { task_id: "none".into(), ..ReturnedTarget::default() }];
    let request =
        ReportRequest { worker_id: "w".into(), results: results(&leased[0]), returned, started: Vec::new() };
    let answer = client(&harness).report(request).await.unwrap().into_inner();
    assert_eq!((answer.stored, answer.refused.len()), (1, 1));
}

#[tokio::test]
async fn malformed_desktop_is_refused_alone() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let desktop = |name: &str| proto::types::Desktop {
        project_id: testkit::project().to_string(),
        desktop_id: name.into(),
        connected_at_unix_ms: start().timestamp_millis(),
        ..Default::default()
    };
    let far = proto::types::Desktop { connected_at_unix_ms: i64::MAX, ..desktop("far") };
    let request = UpdatePresenceRequest {
        worker_id: "w".into(),
        connected: vec![desktop("good"), far, desktop("")],
        disconnected: Vec::new(),
    };
    let answer = client(&harness).update_presence(request).await.unwrap().into_inner();
    let refused: Vec<&str> =
        answer.refused.iter().map(|refused| refused.desktop.as_ref().unwrap().desktop_id.as_str()).collect();
    assert_eq!(refused, ["far", ""]);
    assert_eq!(harness.count("SELECT count(*) FROM desktop WHERE desktop_id = 'good'").await, 1);
}

#[tokio::test]
async fn process_of_a_script_is_stored_within_its_limits() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&w, 10, start()).await;
    let mut results = results(&leased[0]);
    let script = &mut results[0].scripts[0];
    script.outcome = Outcome::Failed.as_str().into();
    (script.exit_code, script.signal) = (Some(137), Some(9));
    script.interpreter = format!("/{}", "i".repeat(2 * limits::MAX_INTERPRETER_BYTES));
    script.containment = "CGROUP".into();
    let left = |pid| proto::types::LeftProcess {
        pid,
        command: format!("\0{}", "\u{1f980}".repeat(limits::MAX_LEFT_COMMAND_BYTES)),
        user: "u".repeat(2 * limits::MAX_LEFT_USER_BYTES),
        survived_kill: true,
    };
    script.left_processes = (1..=40).map(left).collect();
    script.left_processes_count = 41;
    assert_eq!(report(&harness, results).await.stored, 1);
    let stored = "SELECT count(*) FROM record WHERE exit_code = 137 AND signal = 9 AND containment = 'CGROUP'
                  AND octet_length(interpreter) = 512 AND left_processes_count = 41
                  AND jsonb_array_length(left_processes) = 16 AND left_processes->0->>'survived_kill' = 'true'
                  AND octet_length(left_processes->0->>'command') BETWEEN 250 AND 256
                  AND octet_length(left_processes->0->>'user') = 64";
    assert_eq!(harness.count(stored).await, 1);
}

#[tokio::test]
async fn invalid_process_facts_cost_no_outcome() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..2, start()).await;
    harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    let leased = harness.lease(&w, 10, start()).await;
    let mut results = results(&leased[0]);
    let script = &mut results[0].scripts[0];
    (script.signal, script.containment) = (Some(-9), "JAIL".into());
    script.left_processes_count = u32::MAX;
    let answer = report(&harness, results).await;
    assert_eq!((answer.stored, answer.refused.len()), (2, 0));
    let unknown = "SELECT count(*) FROM record WHERE signal IS NULL AND containment IS NULL";
    assert_eq!(harness.count(unknown).await, 2);
    let none = "SELECT count(*) FROM record WHERE interpreter IS NULL AND left_processes IS NULL
                AND left_processes_count IS NULL";
    assert_eq!(harness.count(none).await, 1, "a result without facts takes no space");
}

#[tokio::test]
async fn order_has_the_executable_text_of_the_stored_content() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let stored = "\u{feff}printf v1\r\nexit 0\r\n";
    harness.submit_and_cut(Submit { command: stored.into(), ..Submit::default() }).await;
    let answers = pull_all(&harness).await;
    assert_eq!(answers[0].scripts[0].content, "printf v1\nexit 0\n");
    let unchanged = "SELECT count(*) FROM task WHERE command = E'\\uFEFFprintf v1\\r\\nexit 0\\r\\n'";
    assert_eq!(harness.count(unchanged).await, 1, "stored as it was sent");
}

#[tokio::test]
async fn order_has_the_user_and_the_cleanup_of_the_policy() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let policy = RolloutPolicy {
        run_as_user: Some("www-data".into()),
        cleanup: Cleanup::Kill,
        ..RolloutPolicy::default()
    };
    harness.submit_and_cut(Submit { policy, ..Submit::default() }).await;
    harness.submit_and_cut(Submit::default()).await;
    let specs: Vec<_> = pull_all(&harness).await.into_iter().flat_map(|answer| answer.batches).collect();
    let found: Vec<_> = specs
        .iter()
        .filter_map(|batch| batch.spec.as_ref())
        .map(|spec| (spec.run_as_user.as_str(), spec.kill_left_processes))
        .collect();
    assert_eq!(found, [("www-data", true), ("", false)]);
}

#[tokio::test]
async fn order_names_the_tasks_that_its_task_retries() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    for _ in 0..3 {
        harness.submit_and_cut(Submit::default()).await;
    }
    // Each retries the one before it.
    harness
        .execute(
            "UPDATE task SET retry_of = (SELECT older.task_id FROM task older WHERE older.task_id < task.task_id \
             ORDER BY older.task_id DESC LIMIT 1),
             attempt = 1 + (SELECT count(*) FROM task older WHERE older.task_id < task.task_id)",
        )
        .await;
    let mut batches: Vec<_> =
        pull_all(&harness).await.into_iter().flat_map(|answer| answer.batches).collect();
    batches.sort_by(|a, b| a.task_id.cmp(&b.task_id));
    let named: Vec<_> =
        batches.iter().map(|batch| batch.spec.as_ref().unwrap().retried_task_ids.clone()).collect();
    let ids: Vec<String> = batches.iter().map(|batch| batch.task_id.clone()).collect();
    assert_eq!(named, [vec![], vec![ids[0].clone()], vec![ids[1].clone(), ids[0].clone()]]);
}

/// Starts a pull that waits up to 20 s for batches, and returns when it waits. The service gets no
/// notification and reads the batches each second.
async fn waiting_pull(harness: &Harness, capacity: u32) -> tokio::task::JoinHandle<PullResponse> {
    let request = PullRequest { worker_id: "w".into(), capacity, wait_ms: 20_000, ..PullRequest::default() };
    let mut client = client(harness);
    let pull = tokio::spawn(async move { client.pull(request).await.unwrap().into_inner() });
    while harness.engine.waiting_pulls() == 0 {
        tokio::task::yield_now().await;
    }
    pull
}

/// Status of each batch, by creation.
async fn statuses(harness: &Harness) -> Vec<String> {
    let mut connection = harness.store().acquire().await.unwrap();
    sqlx::query_scalar("SELECT status FROM batch ORDER BY created_at, batch_id")
        .fetch_all(&mut *connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn admission_leases_to_a_waiting_pull_with_its_commit() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..2, start()).await;
    let pull = waiting_pull(&harness, 10).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    assert_eq!(statuses(&harness).await, ["LEASED"], "leased when the admission has committed");
    let answer = pull.await.unwrap();
    let batches: Vec<_> =
        answer.batches.iter().map(|batch| (batch.task_id.clone(), batch.targets.len())).collect();
    assert_eq!(batches, [(task_id.to_string(), 2)]);
    assert_eq!(harness.engine.waiting_pulls(), 0);
}

#[tokio::test]
async fn batch_larger_than_a_waiting_pull_stays_ready() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..2, start()).await;
    let pull = waiting_pull(&harness, 1).await;
    harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    assert_eq!(statuses(&harness).await, ["READY"]);
    let answer = pull.await.unwrap();
    assert_eq!(answer.batches[0].targets.len(), 1, "the pull reads the batches itself");
}
