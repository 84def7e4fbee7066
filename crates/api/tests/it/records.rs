//! Stored records, and records derived from the state of their target.

use axum::http::Method;
use domain::{
    containment::Containment,
    outcome::Outcome,
    process::{LeftProcess, ProcessReport},
};
use scheduler::{Leased, ScriptResult, TargetReport};
use serde_json::{Value, json};

use crate::harness::{Harness, ids};

/// Ends all targets of the batch; those in `failing` with exit code 3.
async fn report(harness: &Harness, leased: &Leased, failing: &[u32]) {
    let now = Harness::now();
    let scripts = usize::from(leased.spec.facts.script_count);
    let results = leased
        .batch
        .members
        .iter()
        .map(|member| {
            let fails = failing.contains(&member.ordinal);
            let script = |outcome, exit_code, output: &str, reason: &str| ScriptResult {
                outcome,
                exit_code,
                started_at: (outcome != Outcome::Skipped).then_some(now),
                ended_at: Some(now),
                output: output.into(),
                reason: reason.into(),
                process: ProcessReport::default(),
            };
            let mut results = vec![script(Outcome::Success, Some(0), "hello\n", ""); scripts];
            if fails {
                results[0] = script(Outcome::Failed, Some(3), "no\n", "exit code 3");
                results[1..].fill(script(Outcome::Skipped, None, "", "an earlier script did not succeed"));
            }
            TargetReport {
                task_id: leased.batch.terms.task_id,
                ordinal: member.ordinal,
                attempt: 1,
                batch_id: Some(leased.batch.batch_id),
                project_id: testkit::project(),
                desktop_id: member.desktop_id.clone(),
                agent_id: member.agent_id.clone(),
                is_authentic: false,
                scripts: results,
                reboots_from: None,
                trace_context: None,
            }
        })
        .collect();
    harness.engine.report(&Harness::worker(), results, Vec::new(), now).await.unwrap();
}

async fn pull(harness: &Harness) -> Vec<Leased> {
    harness.engine.admit_all(Harness::now()).await.unwrap();
    harness.engine.lease(&Harness::worker(), 1_000, Harness::now()).await.unwrap().leased
}

fn statuses(records: &Value) -> Vec<&str> {
    records["script_records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["status"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn after_a_halt_the_second_wave_is_skipped_and_never_started() {
    let harness = Harness::new().await;
    harness.desktops(6).await;
    let script = harness.create_script("s", "true").await;
    let task = harness
        .execute(&json!({"resource_ids": ids(6), "script_ids": [script], "gray_resource_ids": ["desktop-0", "desktop-1"]}))
        .await;
    let list = format!("/script-execution-records?script_task_id={task}");
    assert_eq!(statuses(&harness.get(&list).await), ["WAITING"; 6]);
    let gray = pull(&harness).await;
    assert_eq!(
        statuses(&harness.get(&list).await),
        ["RUNNING", "RUNNING", "WAITING", "WAITING", "WAITING", "WAITING"]
    );
    report(&harness, &gray[0], &[1]).await;

    insta::assert_json_snapshot!("records_after_halt", harness.get(&list).await);
    insta::assert_json_snapshot!("task_after_halt", harness.get("/script-execution-tasks").await);
    assert_eq!(harness.get(&format!("{list}&status=SKIPPED")).await["count"], 4);
    assert_eq!(harness.get(&format!("{list}&status=FAILED")).await["count"], 1);
    assert_eq!(harness.get(&format!("{list}&status=WAITING")).await["count"], 0);
    assert_eq!(harness.get(&format!("{list}&is_first_order=true")).await["count"], 2);
    assert_eq!(harness.get(&format!("{list}&is_first_order=false")).await["count"], 4);
    assert_eq!(harness.get(&format!("{list}&resource_id=desktop-1&resource_id=desktop-3")).await["count"], 2);
    assert_eq!(harness.get("/script-execution-tasks?status=FAILED").await["count"], 1);
}

#[tokio::test]
async fn the_detail_of_a_record_holds_its_output() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task = harness
        .execute(&json!({"resource_ids": ids(1), "command": "echo hello", "command_type": "SHELL"}))
        .await;
    report(&harness, &pull(&harness).await[0], &[]).await;
    let list = harness.get(&format!("/script-execution-records?script_task_id={task}")).await;
    assert!(list["script_records"][0].get("output").is_none());
    let id = list["script_records"][0]["id"].as_str().unwrap();
    insta::assert_json_snapshot!(
        "record_detail",
        harness.get(&format!("/script-execution-records/{id}")).await
    );
    for missing in [
        "nonsense".to_owned(),
        format!("{task}-7-0-1"),
        format!("{task}-0-0-2"),
        format!("{task}-4294967295-0-1"),
    ] {
        let path = format!("/script-execution-records/{missing}");
        assert_eq!(harness.refusal(Method::GET, &path, None).await.0, 404, "{missing}");
    }
}

#[tokio::test]
async fn several_scripts_make_one_counted_record_each() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let scripts = [harness.create_script("a", "true").await, harness.create_script("b", "true").await];
    let task = harness.execute(&json!({"resource_ids": ids(2), "script_ids": scripts})).await;
    report(&harness, &pull(&harness).await[0], &[1]).await;
    let list = harness.get(&format!("/script-execution-records?script_task_id={task}")).await;
    assert_eq!(statuses(&list), ["SUCCESS", "SUCCESS", "FAILED", "SKIPPED"]);
    let tasks = harness.get("/script-execution-tasks").await;
    let task = &tasks["script_tasks"][0];
    assert_eq!(
        (&task["success_num"], &task["failed_num"], &task["skip_num"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(task["status"], "FAILED");
}

#[tokio::test]
async fn list_over_tasks_has_newest_record_of_script_and_desktop() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let script = harness.create_script("s", "true").await;
    let body = json!({"resource_ids": ids(2), "script_ids": [script]});
    let old = harness.execute(&body).await;
    let new = harness.execute(&json!({"resource_ids": ids(1), "script_ids": [script]})).await;
    let listed = harness.get("/script-execution-records").await;
    let tasks: Vec<&str> = listed["script_records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["script_task_id"].as_str().unwrap())
        .collect();
    assert_eq!(tasks, [new.as_str(), old.as_str()], "desktop-0 of the new task, desktop-1 of the old one");
    let history =
        format!("/script-execution-records?show_history=true&resource_id=desktop-0&script_id={script}");
    assert_eq!(harness.get(&history).await["count"], 2);
    let (status, message) =
        harness.refusal(Method::GET, "/script-execution-records?show_history=true", None).await;
    assert_eq!(status, 400);
    assert!(message.contains("requires resource_id and script_id"));
    for query in ["status=DONE", "is_first_order=1", "limit=101"] {
        let path = format!("/script-execution-records?{query}");
        assert_eq!(harness.refusal(Method::GET, &path, None).await.0, 400, "{query}");
    }
    assert_eq!(harness.get("/script-execution-records?script_task_id=task-1").await["count"], 0);
    assert_eq!(harness.get("/script-execution-records?script_name=s").await["count"], 2);
    assert_eq!(harness.get("/script-execution-records?script_name=other").await["count"], 0);
    assert_eq!(harness.get("/script-execution-records?task_type=COMMAND").await["count"], 0);
}

#[tokio::test]
async fn native_record_has_the_facts_of_its_process() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let body = json!({"resource_ids": ids(1), "command": "x", "command_type": "SHELL"});
    let task = harness.execute(&body).await;
    let leased = pull(&harness).await.remove(0);
    let mut script = testkit::script_report(Outcome::Failed, Some(137), "");
    script.process = ProcessReport {
        interpreter: Some("/bin/sh".into()),
        signal: Some(9),
        containment: Some(Containment::Mark),
        left_processes: vec![LeftProcess {
            pid: 4_711,
            command: "sleep 1000".into(),
            user: "root".into(),
            survived_kill: false,
        }],
        left_processes_count: 2,
    };
    let member = &leased.batch.members[0];
    let report = TargetReport {
        task_id: leased.batch.terms.task_id,
        ordinal: 0,
        attempt: 1,
        batch_id: Some(leased.batch.batch_id),
        project_id: testkit::project(),
        desktop_id: member.desktop_id.clone(),
        agent_id: member.agent_id.clone(),
        is_authentic: false,
        scripts: vec![script],
        reboots_from: None,
        trace_context: None,
    };
    harness.engine.report(&Harness::worker(), vec![report], Vec::new(), Harness::now()).await.unwrap();
    let list = harness.native(&format!("/tasks/{task}/records")).await;
    let record = &list["records"][0];
    assert_eq!((&record["exit_code"], &record["signal"]), (&json!(137), &json!(9)));
    assert_eq!((&record["interpreter"], &record["containment"]), (&json!("/bin/sh"), &json!("MARK")));
    let left = json!({"pid": 4711, "command": "sleep 1000", "user": "root", "survived_kill": false});
    assert_eq!(record["left_processes"], json!([left]));
    assert_eq!(record["left_processes_count"], 2);
    let explained = harness.native(&format!("/tasks/{task}/explain?desktop_id=desktop-0")).await.to_string();
    let sentence = "the command: left 2 processes running: 4711 sleep 1000 (root) and 1 more";
    assert!(explained.contains(sentence), "{explained}");
}
