//! The rollout engine through the native family: preview, pause, approval, freeze, limits and
//! insight.

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request},
};
use domain::outcome::Outcome;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::harness::{Answer, Harness, TOKEN, ids};

impl Harness {
    /// Sends a native request of project-1 with a token.
    async fn native_as(&self, token: &str, method: Method, path: &str, body: &Value) -> Answer {
        let body = (!body.is_null()).then_some(body);
        self.call_as(token, method, &format!("/v1/projects/project-1{path}"), body).await
    }

    pub(crate) async fn native_post(&self, path: &str, body: &Value) -> Answer {
        self.native_as(TOKEN, Method::POST, path, body).await
    }

    /// Sends a request that must succeed and returns its body.
    async fn good(&self, path: &str, body: &Value) -> Value {
        let answer = self.native_post(path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Sends a request that must be refused and returns status and message.
    async fn refused(&self, token: &str, path: &str, body: &Value) -> (u16, String) {
        let answer = self.native_as(token, Method::POST, path, body).await;
        let message = answer.body["error_msg"].as_str().unwrap_or_default().to_owned();
        (answer.status.as_u16(), message)
    }

    /// Submits a task over `number` desktops that runs one command.
    async fn start(&self, number: u32, rollout: Value) -> String {
        let task = self.good("/executions", &command(number, rollout)).await;
        task["task_id"].as_str().unwrap().to_owned()
    }

    /// Whether no batch could be leased.
    async fn leases_nothing(&self) -> bool {
        while self.engine.admit_all(Self::now()).await.unwrap() {}
        self.engine.lease(&Self::worker(), 1_000, Self::now()).await.unwrap().leased.is_empty()
    }

    /// Reads a finite stream of server-sent events as text.
    async fn stream(&self, task_id: &str, last_event_id: Option<&str>) -> (u16, String) {
        let mut request = Request::builder()
            .uri(format!("/v1/projects/project-1/tasks/{task_id}/events"))
            .header("X-Auth-Token", TOKEN);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

fn command(number: u32, rollout: Value) -> Value {
    let mut body = json!({"resource_ids": ids(number), "command": "true", "command_type": "SHELL"});
    if !rollout.is_null() {
        body["rollout"] = rollout;
    }
    body
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[tokio::test]
async fn preview_equals_the_plan_of_the_request_and_stores_none() {
    let harness = Harness::new().await;
    harness.desktops(12).await;
    harness.offline(&[3, 7]).await;
    let rollout = json!({
        "waves": [{"count": 3, "fail_threshold": {"count": 2}}, {"rest": true}],
        "fail_threshold": {"count": 4}, "strict": true, "max_concurrency": 5,
        "approval": {"before_waves": [2]}, "canary": {"by": ["os", "zone"]},
    });
    let mut body = command(12, rollout);
    let preview = harness.good("/executions/preview", &body).await;
    for table in [
        "SELECT count(*) FROM task",
        "SELECT count(*) FROM target",
        "SELECT count(*) FROM wave",
        "SELECT count(*) FROM audit WHERE resource LIKE 'task:%'",
    ] {
        assert_eq!(harness.count(table).await, 0, "{table}");
    }
    assert_eq!((&preview["target_count"], &preview["gray"]), (&json!(12), &json!(true)));
    assert_eq!(
        preview["offline"]["count"], 2,
        "desktops without a connection: {}",
        preview["offline"]["desktop_ids"]
    );
    let waves = preview["waves"].as_array().unwrap();
    let members: Vec<Vec<&str>> = waves.iter().map(|wave| texts(&wave["desktop_ids"])).collect();
    assert_eq!((members[0].len(), members[1].len()), (3, 9));
    assert_eq!(waves.iter().map(|wave| wave["offline"].as_u64().unwrap()).sum::<u64>(), 2);
    assert_eq!((&waves[0]["needs_approval"], &waves[1]["needs_approval"]), (&json!(false), &json!(true)));
    let canaries = preview["canaries"].as_array().unwrap();
    assert_eq!(
        canaries.iter().map(|canary| canary["desktop_id"].as_str().unwrap()).collect::<Vec<_>>(),
        members[0]
    );
    assert!(canaries.iter().all(|canary| canary["reason"].as_str().unwrap().contains("os")), "{canaries:?}");
    // Strict mode: at most two failures in the first wave, at most four in total.
    assert_eq!(waves[0]["worst_case"]["failed"], 2);
    assert_eq!(preview["worst_case"]["failed"], 4);

    // The returned seed produces the same plan again.
    body["rollout"]["canary"]["seed"] = preview["seed"].clone();
    let task = harness.good("/executions", &body).await;
    assert_eq!((&task["plan_hash"], &task["script_hash"]), (&preview["plan_hash"], &preview["script_hash"]));
    let targets =
        harness.native(&format!("/tasks/{}/targets", task["task_id"].as_str().unwrap())).await["targets"]
            .clone();
    let order: Vec<&str> =
        targets.as_array().unwrap().iter().map(|target| target["desktop_id"].as_str().unwrap()).collect();
    assert_eq!(order, members.concat());

    // An invalid execution fails in the preview with the same message.
    for wrong in [
        json!({"resource_ids": ["nobody"], "command": "true", "command_type": "SHELL"}),
        command(12, json!({"quorum_percent": 0})),
        command(12, json!({"approval": {"before_waves": [7]}})),
    ] {
        let preview = harness.native_post("/executions/preview", &wrong).await;
        let executed = harness.native_post("/executions", &wrong).await;
        assert!([400, 404].contains(&preview.status.as_u16()), "{wrong}");
        assert_eq!(preview.status, executed.status);
        assert_eq!(preview.body["error_msg"], executed.body["error_msg"]);
    }
}

#[tokio::test]
async fn a_stratum_without_a_canary_is_named() {
    let harness = Harness::new().await;
    let now = Harness::now();
    harness.engine.heartbeat(&Harness::worker(), "here", 100, false, now).await.unwrap();
    let zones = ["zone-a", "zone-a", "zone-a", "zone-b", "zone-b", "zone-c"];
    let facts: Vec<_> = zones
        .iter()
        .zip(0..)
        .map(|(zone, number)| {
            let mut facts = testkit::desktop(number);
            facts.availability_zone = (*zone).to_owned();
            facts
        })
        .collect();
    assert!(harness.engine.presence(&Harness::worker(), &facts, &[], now).await.unwrap().is_some());
    let rollout = json!({"waves": [{"count": 2}, {"rest": true}], "canary": {"by": ["zone"]}});
    let preview = harness.good("/executions/preview", &command(6, rollout)).await;
    let uncovered = preview["uncovered_strata"].as_array().unwrap();
    assert_eq!(uncovered.len(), 1, "{uncovered:?}");
    assert_eq!(
        (&uncovered[0]["availability_zone"], &uncovered[0]["desktops"]),
        (&json!("zone-c"), &json!(1))
    );
    assert_eq!(
        preview["worst_case"],
        json!({"started": 6, "failed": 6}),
        "without a threshold all targets may fail"
    );
}

#[tokio::test]
async fn a_paused_task_says_so_and_goes_on_when_it_is_resumed() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let task_id = harness.start(2, Value::Null).await;
    let path = format!("/tasks/{task_id}");
    let paused = harness.good(&format!("{path}/pause"), &Value::Null).await;
    assert_eq!((&paused["paused"], &paused["waiting_for"]), (&json!(true), &json!("the task is paused")));
    assert!(harness.leases_nothing().await);
    let resumed = harness.good(&format!("{path}/resume"), &Value::Null).await;
    assert_eq!((&resumed["paused"], &resumed["waiting_for"]), (&json!(false), &Value::Null));
    harness.run(&task_id, &[Outcome::Success; 2]).await;
    for what in ["pause", "resume"] {
        let (status, message) = harness.refused(TOKEN, &format!("{path}/{what}"), &Value::Null).await;
        assert_eq!(
            (status, message.as_str()),
            (409, "the task is SUCCESS and admits no more targets (see docs/errors.md#TASK_ENDED)")
        );
    }
    let explained = harness.native(&format!("{path}/explain")).await;
    let sentences: Vec<&str> =
        explained["steps"].as_array().unwrap().iter().map(|step| step["text"].as_str().unwrap()).collect();
    insta::assert_json_snapshot!(sentences);
}

#[tokio::test]
async fn a_wave_is_approved_by_another_person_who_has_seen_the_plan() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let alice = harness.token("alice", &["operator"]).await;
    let bob = harness.token("bob", &["operator"]).await;
    let rollout = json!({
        "waves": [{"count": 1}, {"count": 1}, {"rest": true}],
        "approval": {"before_waves": [2], "distinct_approver": true},
    });
    let made = harness.native_as(&alice, Method::POST, "/executions", &command(4, rollout)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let task = made.body;
    let task_id = task["task_id"].as_str().unwrap();
    let wave = |wave: &str| format!("/tasks/{task_id}/waves/{wave}/approve");
    let right = json!({"plan_hash": task["plan_hash"], "script_hash": task["script_hash"]});

    let (status, message) = harness.refused(&bob, &wave("2"), &right).await;
    assert_eq!(status, 409, "approved before the results of the previous wave: {message}");
    harness.run(task_id, &[Outcome::Success]).await;
    let waits = harness.native(&format!("/tasks/{task_id}")).await;
    assert_eq!(waits["waiting_for"], "wave 2: waiting for a person's approval");
    assert!(harness.leases_nothing().await);

    for (token, number, body, expected, word) in [
        (&alice, "2", right.clone(), 403, "alice submitted this task"),
        (&bob, "2", json!({"plan_hash": "00"}), 409, "plan_hash"),
        (&bob, "2", json!({"script_hash": "00"}), 409, "script_hash"),
        (&bob, "3", Value::Null, 409, "wave 3 needs no approval"),
        (&bob, "4", Value::Null, 404, "has no wave 4"),
        (&bob, "two", Value::Null, 404, "no such wave"),
    ] {
        let (status, message) = harness.refused(token, &wave(number), &body).await;
        assert_eq!(status, expected, "{number} {body}: {message}");
        assert!(message.contains(word), "{message}");
    }
    assert!(harness.leases_nothing().await, "a refused approval must not open the wave");
    for _ in 0..2 {
        let approved = harness.native_as(&bob, Method::POST, &wave("2"), &right).await;
        assert_eq!(approved.status, 200, "{}", approved.body);
        assert_eq!(approved.body["waves"][1]["approved_by"], "bob");
    }
    assert_eq!(harness.count("SELECT count(*) FROM task_event WHERE kind = 'WAVE_APPROVED'").await, 1);
    harness.run(task_id, &[Outcome::Success]).await;
    harness.run(task_id, &[Outcome::Success; 2]).await;
    assert_eq!(harness.native(&format!("/tasks/{task_id}")).await["status"], "SUCCESS");
}

#[tokio::test]
async fn a_frozen_project_accepts_tasks_and_they_wait() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let before = harness.start(2, Value::Null).await;
    let (status, message) = harness.refused(TOKEN, "/freeze", &json!({"reason": "x".repeat(501)})).await;
    assert_eq!(status, 400, "{message}");
    assert_eq!(harness.native("/freeze").await["frozen"], false);
    let frozen = harness.good("/freeze", &json!({"reason": "an outage"})).await;
    assert_eq!((&frozen["frozen"], &frozen["reason"]), (&json!(true), &json!("an outage")));
    let after = harness.start(2, Value::Null).await;
    for task_id in [&before, &after] {
        let task = harness.native(&format!("/tasks/{task_id}")).await;
        assert_eq!(
            (&task["status"], &task["waiting_for"]),
            (&json!("WAITING"), &json!("the project is frozen"))
        );
    }
    assert!(harness.leases_nothing().await);
    assert_eq!(harness.native("/freeze").await["frozen_by"], frozen["frozen_by"]);
    let thawed = harness.native_as(TOKEN, Method::DELETE, "/freeze", &Value::Null).await;
    assert_eq!((thawed.status.as_u16(), &thawed.body["frozen"]), (200, &json!(false)));
    harness.run(&before, &[Outcome::Success; 2]).await;
    assert_eq!(
        harness
            .count("SELECT count(*) FROM audit WHERE action LIKE 'graywave:%freeze' AND result = 'DONE'")
            .await,
        2
    );
}

#[tokio::test]
async fn freeze_that_waits_for_a_task_locks_no_other() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let (first, second) = (harness.start(1, Value::Null).await, harness.start(1, Value::Null).await);
    let [first, second] = [first, second].map(|task_id| task_id.parse().unwrap());
    let mut report = harness.database.store.begin().await.unwrap();
    store::wave::lock(&mut report, second, &[]).await.unwrap();
    let frees = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while harness.count(waiting).await == 0 {}
        let mut other = harness.database.store.begin().await.unwrap();
        let lock = store::wave::lock(&mut other, first, &[]);
        let waves = tokio::time::timeout(std::time::Duration::from_secs(10), lock).await;
        assert!(waves.is_ok(), "the freeze keeps the waves of the first task locked");
        drop((other, report));
    };
    let body = json!({});
    let (frozen, ()) = tokio::join!(harness.good("/freeze", &body), frees);
    assert_eq!(frozen["frozen"], true);
}

#[tokio::test]
async fn limits_hold_over_all_tasks_of_the_project() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    assert_eq!(
        harness.native("/limits").await,
        json!({"max_in_flight": null, "max_running_per_desktop": null, "audit_reads": false,
            "require_canary_above": null, "require_threshold": false, "max_wave_percent": null,
            "require_reason": false, "require_approval_above": null})
    );
    let put = async |body: &Value| harness.native_as(TOKEN, Method::PUT, "/limits", body).await;
    for (wrong, word) in [
        (json!({"max_in_flight": 0}), "max_in_flight"),
        (json!({"max_running_per_desktop": 101}), "max_running_per_desktop"),
        (json!({"max": 1}), "max"),
    ] {
        let answer = put(&wrong).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.body["error_msg"].as_str().unwrap().contains(word), "{}", answer.body);
    }
    let limits = json!({"max_in_flight": 4, "max_running_per_desktop": 2, "audit_reads": true});
    let stored = put(&limits).await.body;
    for (name, value) in limits.as_object().unwrap() {
        assert_eq!(&stored[name], value, "{name}");
    }
    assert_eq!(harness.native("/limits").await, stored);
    let kept = put(&json!({"max_in_flight": 4, "max_running_per_desktop": 2})).await.body;
    assert_eq!(kept["audit_reads"], true, "a client that does not know the setting keeps it");
    let (first, second) = (harness.start(3, Value::Null).await, harness.start(3, Value::Null).await);
    let leased = harness.lease(&first).await;
    assert_eq!((leased.batch.members.len(), leased.max_running), (3, Some(2)));
    let count = async || harness.count("SELECT coalesce(sum(admitted), 0) FROM wave").await;
    assert_eq!(count().await, 4, "one target of the other task is admitted");
    assert_eq!(put(&json!({})).await.status, 200, "an omitted limit is removed");
    assert!(harness.engine.admit(second.parse().unwrap(), Harness::now()).await.is_ok());
    assert_eq!(count().await, 6);
}

/// A task over five desktops: a gray wave of two, and three that fail in two ways.
async fn one_with_failures(harness: &Harness) -> String {
    harness.desktops(6).await;
    let rollout = json!({"waves": [{"count": 2}, {"rest": true}]});
    let task_id = harness.start(6, rollout).await;
    let disk = |number: u32| (1, format!("writing /tmp/file{number}\ndisk full: {number} MB left\n"));
    let first = harness.lease(&task_id).await;
    harness.report_printed(&first, &[(0, "good".to_owned()), disk(17)]).await;
    let rest = harness.lease(&task_id).await;
    let lock = (100, "E: could not get the lock".to_owned());
    harness.report_printed(&rest, &[disk(3), lock, disk(99), (0, String::new())]).await;
    task_id
}

#[tokio::test]
async fn failures_that_look_alike_are_one_group() {
    let harness = Harness::new().await;
    let task_id = one_with_failures(&harness).await;
    let found = harness.native(&format!("/tasks/{task_id}/failures")).await;
    assert_eq!(found["records"], 4);
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    let disk = &groups[0];
    assert_eq!(disk["fingerprint"], "disk full: <n> MB left");
    assert_eq!((&disk["records"], &disk["share_percent"]), (&json!(3), &json!(75.0)));
    assert_eq!((&disk["outcome"], &disk["exit_code"]), (&json!("FAILED"), &json!(1)));
    assert_eq!(disk["waves"], json!([{"wave": 1, "records": 1}, {"wave": 2, "records": 2}]));
    assert_eq!(disk["sample"], "writing /tmp/file17\ndisk full: 17 MB left\n");
    let sample = harness.native(&format!("/records/{}", disk["sample_record_id"].as_str().unwrap())).await;
    assert_eq!(sample["output"], disk["sample"]);
    assert_eq!(groups[1]["exit_code"], 100);

    // The percentage refers to all failures, even if not all groups are shown.
    let largest = harness.native(&format!("/tasks/{task_id}/failures?page_size=1")).await;
    assert_eq!((&largest["records"], &largest["groups"][0]["share_percent"]), (&json!(4), &json!(75.0)));
    assert_eq!(largest["groups"].as_array().unwrap().len(), 1);
    let token = largest["next_page_token"].as_str().unwrap();
    let next = harness.native(&format!("/tasks/{task_id}/failures?page_size=1&page_token={token}")).await;
    assert_eq!((&next["groups"][0], &next["records"]), (&groups[1], &json!(4)));
    let token = next["next_page_token"].as_str().unwrap();
    let last = harness.native(&format!("/tasks/{task_id}/failures?page_size=1&page_token={token}")).await;
    assert_eq!((&last["groups"], &last["next_page_token"]), (&json!([]), &Value::Null));

    let path = format!("/tasks/{task_id}/failures/{}", disk["fingerprint_id"].as_str().unwrap());
    let mut members = Vec::new();
    let mut token = String::new();
    loop {
        let page = harness.native(&format!("{path}?page_size=2{token}")).await;
        members.extend(
            page["members"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["desktop_id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_page_token"].as_str() else { break };
        token = format!("&page_token={next}");
    }
    assert_eq!(members, texts(&disk["desktop_ids"]));
    assert_eq!(members.len(), 3);
    for unknown in ["17", "x"] {
        let path = format!("/tasks/{task_id}/failures/{unknown}");
        assert_eq!(harness.native_as(TOKEN, Method::GET, &path, &Value::Null).await.status, 404);
    }
}

#[tokio::test]
async fn a_finished_task_is_read_again_under_another_rollout() {
    let harness = Harness::new().await;
    let task_id = one_with_failures(&harness).await;
    let path = format!("/tasks/{task_id}/what-if");
    let kept = harness.good(&path, &json!({"rollout": {}})).await;
    assert_eq!((&kept["ending"], &kept["failed"]), (&json!("COMPLETED"), &json!(4)));
    let halted =
        json!({"rollout": {"waves": [{"count": 2, "fail_threshold": {"count": 1}}, {"rest": true}]}});
    let found = harness.good(&path, &halted).await;
    assert_eq!(
        (&found["ending"], &found["failed"], &found["started"]),
        (&json!("HALTED"), &json!(1), &json!(2))
    );
    assert_eq!(found["waves"][0]["verdict"], "1 of 2 targets failed: the fail threshold 1 is reached");
    let ignored = json!({"rollout": {"fail_threshold": {"count": 2}, "exit_codes": {"1": "ignore"}}});
    assert_eq!(harness.good(&path, &ignored).await["failed"], 1);
    let (status, message) = harness.refused(TOKEN, &path, &json!({"rollout": {"waves": []}})).await;
    assert_eq!(status, 400, "{message}");
    let running = harness.start(1, Value::Null).await;
    let (status, _) =
        harness.refused(TOKEN, &format!("/tasks/{running}/what-if"), &json!({"rollout": {}})).await;
    assert_eq!(status, 409);
}

#[tokio::test]
async fn a_desktop_is_told_why_it_did_or_did_not_run() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let rollout = json!({"waves": [{"count": 2, "fail_threshold": {"count": 1}}, {"rest": true}]});
    let task_id = harness.start(4, rollout).await;
    let targets = harness.native(&format!("/tasks/{task_id}/targets")).await["targets"].clone();
    let desktop = |place: usize| targets[place]["desktop_id"].as_str().unwrap().to_owned();
    let explain = async |place: usize| {
        let path = format!("/tasks/{task_id}/explain?desktop_id={}", desktop(place));
        let steps = harness.native(&path).await["steps"].clone();
        steps
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(explain(3).await.last().unwrap(), "the target waits: wave 2 is not open");
    let leased = harness.lease(&task_id).await;
    assert_eq!(
        explain(0).await.last().unwrap(),
        "worker worker-1 holds the target, and no result has arrived"
    );
    harness.report_printed(&leased, &[(0, String::new()), (9, String::new())]).await;
    assert!(explain(1).await.last().unwrap().starts_with("the command ended as FAILED: exit code 9"));
    let skipped = explain(3).await;
    insta::assert_json_snapshot!(skipped);
    let refused = harness
        .native_as(TOKEN, Method::GET, &format!("/tasks/{task_id}/explain?desktop_id=x"), &Value::Null)
        .await;
    assert_eq!(refused.status, 404);
}

#[tokio::test]
async fn event_stream_runs_to_the_end_and_resumes_from_a_cursor() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let task_id = harness.start(2, json!({"waves": [{"count": 1}, {"rest": true}]})).await;
    harness.run(&task_id, &[Outcome::Success]).await;
    harness.run(&task_id, &[Outcome::Failed]).await;
    let (status, all) = harness.stream(&task_id, None).await;
    assert_eq!(status, 200);
    let kinds = |text: &str| {
        text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let expected =
        ["ACCEPTED", "WAVE_OPENED", "WAVE_CLOSED", "WAVE_OPENED", "WAVE_CLOSED", "PROGRESS", "ENDED"];
    assert_eq!(kinds(&all), expected, "{all}");
    let ids: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids.len(), 6, "PROGRESS events have no id");
    let (_, rest) = harness.stream(&task_id, Some(ids[2])).await;
    assert_eq!(kinds(&rest), expected[3..], "{rest}");
    let (status, none) = harness.stream(&task_id, Some(ids[5])).await;
    assert_eq!((status, none.as_str()), (204, ""), "a client that has seen all events must not reconnect");
    assert_eq!(harness.stream(&task_id, Some("x")).await.0, 400);
    let missing = task_id.replace("019a", "019b");
    assert_eq!(harness.stream(&missing, None).await.0, 404);
}
