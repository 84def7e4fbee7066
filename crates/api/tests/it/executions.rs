//! Executions: a refused request stores nothing, an accepted one is committed.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Harness, ids};

fn with(changes: Value) -> Value {
    let mut body = json!({"resource_type": "DESKTOP", "resource_ids": ids(10), "command": "true", "command_type": "SHELL"});
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_and_nothing_is_created() {
    let harness = Harness::new().await;
    harness.desktops(10).await;
    let script = harness.create_script("s", "true").await;
    let unknown = "f".repeat(32);
    let cases = [
        (json!({}), 400, "script_ids: provide scripts or a command"),
        (json!({"script_ids": [script]}), 400, "resource_ids"),
        (json!({"script_ids": [], "resource_ids": []}), 400, "FIELD_REQUIRED"),
        (with(json!({"resource_ids": []})), 400, "at least one desktop"),
        (with(json!({"script_ids": [script]})), 400, "exclude"),
        (with(json!({"command_type": null})), 400, "command_type: a command needs a type"),
        (with(json!({"command_type": "PERL"})), 400, "POWERSHELL, BAT, SHELL"),
        (with(json!({"command": "x".repeat(100_001)})), 400, "at most 100000"),
        (with(json!({"resource_type": "POOL"})), 400, "DESKTOP"),
        (
            with(json!({"gray_count": 4, "gray_fail_threshold": 4})),
            400,
            "less than the size of the gray wave, 4",
        ),
        (with(json!({"gray_count": 4, "gray_fail_threshold": 0})), 400, "at least 1"),
        (with(json!({"gray_count": 4, "gray_fail_threshold": -1})), 400, "at least 1"),
        (with(json!({"gray_count": -1})), 400, "at least 1"),
        (with(json!({"gray_count": 11})), 400, "larger than the number"),
        (with(json!({"gray_count": "4"})), 400, "gray_count: invalid type"),
        (with(json!({"gray_count": 1.5})), 400, "gray_count: invalid type"),
        (with(json!({"gray_fail_threshold": 1})), 400, "gray_fail_threshold: a threshold needs a gray wave"),
        (
            with(json!({"gray_resource_ids": ["desktop-77"]})),
            400,
            "gray_resource_ids: desktop-77 is not among",
        ),
        (with(json!({"execution_timeout": 601})), 400, "0 to 600"),
        (with(json!({"execution_timeout": -1})), 400, "0 to 600"),
        (with(json!({"rollout": {"strict": true}})), 400, "rollout.strict: strict mode needs"),
        (with(json!({"rollout": {"soak_minutes": 5}})), 400, "unknown field `soak_minutes`"),
        (with(json!({"rollout": {"expires_at": "2020-01-01T00:00:00Z"}})), 400, "not in the future"),
        (with(json!({"rollout": {"approval": {"before_waves": [2]}}})), 400, "wave 2 does not exist"),
        (with(json!({"rollout": {"approval": {}}})), 400, "before_waves: name at least one"),
        (with(json!({"rollout": {"window": {"from": "22:00"}}})), 400, "missing field `to`"),
        (with(json!({"rollout": {"window": {"from": "22:00", "to": "7"}}})), 400, "rollout.window.to"),
        (with(json!({"rollout": {"waves": [{"count": 3}]}})), 400, "leave 7 of 10 targets over"),
        (with(json!({"rollout": {"waves": [{"rest": true, "size": 1}]}})), 400, "unknown field `size`"),
        (with(json!({"gray_count": 4, "rollout": {"waves": [{"rest": true}]}})), 400, "waves exclude a gray"),
        (
            with(json!({"rollout": {"fail_threshold": {"percent": 101}}})),
            400,
            "rollout.fail_threshold.percent",
        ),
        (with(json!({"resource_ids": ["desktop-1", "desktop-77"]})), 404, "desktop-77"),
        (json!({"resource_ids": ids(1), "script_ids": [unknown]}), 404, "does not exist"),
        (json!({"resource_ids": ids(1), "script_ids": ["923438311391891456"]}), 404, "923438311391891456"),
    ];
    for (body, status, word) in cases {
        let refusal = harness.refusal(Method::POST, "/script-executions", Some(&body)).await;
        assert_eq!(refusal.0, status, "{word}: {}", refusal.1);
        assert!(refusal.1.contains(word), "{word}: {}", refusal.1);
    }
    for table in ["SELECT count(*) FROM task", "SELECT count(*) FROM target", "SELECT count(*) FROM wave"] {
        assert_eq!(harness.count(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn an_accepted_task_is_committed_with_its_plan_and_targets() {
    let harness = Harness::new().await;
    harness.desktops(10).await;
    let script = harness.create_script("s", "true").await;
    let body = json!({
        "resource_type": "DESKTOP", "resource_ids": ids(10), "script_ids": [script], "gray_count": 3,
        "gray_resource_ids": ["desktop-7"], "gray_fail_threshold": 2, "execution_timeout": 30,
    });
    let task_id = harness.execute(&body).await;
    assert!(task_id.len() == 32 && task_id.chars().all(|c| c.is_ascii_hexdigit()), "{task_id}");
    assert_eq!(harness.count("SELECT count(*) FROM target").await, 10);
    assert_eq!(harness.count("SELECT execution_timeout_ms FROM task").await, 30 * 60 * 1_000);
    insta::assert_json_snapshot!(
        "task_waiting",
        harness.get(&format!("/script-execution-tasks?task_id={task_id}")).await
    );
}

#[tokio::test]
async fn a_command_of_a_hundred_thousand_characters_runs_whole() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let command = "\u{4e2d}".repeat(100_000);
    harness.execute(&with(json!({"resource_ids": ids(1), "command": command}))).await;
    harness.engine.admit_all(Harness::now()).await.unwrap();
    let leased = harness.engine.lease(&Harness::worker(), 10, Harness::now()).await.unwrap().leased;
    assert_eq!(leased[0].spec.scripts[0].content, command);
}

#[tokio::test]
async fn tasks_are_found_by_every_filter() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let script = harness.create_script("s", "true").await;
    let by_script = harness.execute(&json!({"resource_ids": ids(2), "script_ids": [script]})).await;
    let by_command = harness.execute(&with(json!({"resource_ids": ids(1)}))).await;
    let none: [&str; 0] = [];
    let both = [by_command.as_str(), by_script.as_str()];
    let cases: Vec<(String, &[&str])> = vec![
        (String::new(), &both),
        (format!("?task_id={by_script}&task_id={by_command}"), &both),
        (format!("?task_id={by_script}"), &both[1..]),
        ("?task_id=task-1".into(), &none),
        (format!("?script_id={script}"), &both[1..]),
        ("?script_id=nonsense".into(), &none),
        ("?script_name=s".into(), &both[1..]),
        ("?task_type=COMMAND".into(), &both[..1]),
        ("?task_type=SCRIPT".into(), &both[1..]),
        ("?status=WAITING".into(), &both),
        ("?status=SUCCESS".into(), &none),
        ("?execute_time_start=2027-01-15T08:00:00Z".into(), &both),
        ("?execute_time_start=2027-01-15T08:00:01Z".into(), &none),
        ("?execute_time_end=2027-01-15T07:59:59Z".into(), &none),
        ("?limit=1&offset=1".into(), &both[1..]),
    ];
    for (query, expected) in cases {
        let answer = harness.get(&format!("/script-execution-tasks{query}")).await;
        let found: Vec<&str> = answer["script_tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["id"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    for query in ["status=DONE", "task_type=X", "execute_time_start=yesterday"] {
        let path = format!("/script-execution-tasks?{query}");
        assert_eq!(harness.refusal(Method::GET, &path, None).await.0, 400, "{query}");
    }
}
