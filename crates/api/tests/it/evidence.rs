//! Evidence, canaries and warnings through the native family, and what /v2 shows of them.

use domain::outcome::Outcome;
use serde_json::{Value, json};

use crate::harness::{Harness, ids};

impl Harness {
    async fn answered(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.native_post(path, body).await;
        (answer.status.as_u16(), answer.body)
    }

    async fn execute_rollout(&self, number: u32, rollout: Value) -> Value {
        let body = json!({"resource_ids": ids(number), "command": "true", "command_type": "SHELL",
                          "rollout": rollout});
        let (status, task) = self.answered("/executions", &body).await;
        assert_eq!(status, 200, "{task}");
        task
    }
}

fn id(task: &Value) -> &str {
    task["task_id"].as_str().unwrap()
}

fn codes(answer: &Value) -> Vec<(&str, &Value)> {
    let warnings = answer["warnings"].as_array().unwrap().iter();
    warnings.map(|warning| (warning["code"].as_str().unwrap(), &warning["wave"])).collect()
}

#[tokio::test]
async fn wave_without_a_success_holds_until_it_is_approved() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let ignored = json!({"waves": [{"count": 2}, {"rest": true}], "outcomes": {"FAILED": "ignore"}});
    let task = harness.execute_rollout(4, ignored).await;
    let path = format!("/tasks/{}", id(&task));
    harness.run(id(&task), &[Outcome::Failed; 2]).await;
    let held = harness.native(&path).await;
    assert_eq!((&held["status"], &held["waves"][1]["hold"]), (&json!("RUNNING"), &json!("NO_EVIDENCE")));
    assert!(held["waves"][1]["hold_end_time"].is_string(), "{held}");
    let waiting_for = held["waiting_for"].as_str().unwrap();
    assert!(waiting_for.starts_with("wave 2: too few targets of the previous wave"), "{waiting_for}");
    let listed = harness.get(&format!("/script-execution-tasks?task_id={}", id(&task))).await;
    assert_eq!(listed["script_tasks"][0]["status"], "RUNNING", "{listed}");
    let approve = format!("{path}/waves/2/approve");
    let (status, _) = harness.answered(&approve, &json!({"hold": "APPROVAL"})).await;
    assert_eq!(status, 409);
    let (status, wrong) = harness.answered(&approve, &json!({"hold": "LATER"})).await;
    assert_eq!(status, 400, "{wrong}");
    let (status, approved) = harness.answered(&approve, &json!({"hold": "NO_EVIDENCE"})).await;
    assert_eq!((status, &approved["waves"][1]["hold"]), (200, &Value::Null), "{approved}");
    harness.run(id(&task), &[Outcome::Success; 2]).await;
    assert_eq!(harness.native(&path).await["status"], "FAILED");
}

#[tokio::test]
async fn min_success_percent_is_shown_and_obeyed() {
    let harness = Harness::new().await;
    harness.desktops(5).await;
    let half = json!({"waves": [{"count": 4}, {"rest": true}], "min_success_percent": 50});
    let task = harness.execute_rollout(5, half).await;
    assert_eq!(task["min_success_percent"], 50.0);
    harness.run(id(&task), &[Outcome::Success, Outcome::Failed, Outcome::Failed, Outcome::Failed]).await;
    let held = harness.native(&format!("/tasks/{}", id(&task))).await;
    assert_eq!(held["waves"][1]["hold"], "NO_EVIDENCE");
    let verdict = held["waves"][0]["verdict"].as_str().unwrap();
    assert!(verdict.ends_with("1 of 4 targets succeeded, and the next wave needs 2"), "{verdict}");
}

#[tokio::test]
async fn canaries_of_a_preview_can_be_pinned() {
    let harness = Harness::new().await;
    harness.desktops(6).await;
    harness.offline(&[0, 1]).await;
    let body = |rollout: Value| json!({"resource_ids": ids(6), "command": "true", "command_type": "SHELL", "rollout": rollout});
    let one = json!({"count": 1});
    let waves = json!([{"count": 3, "fail_threshold": one}, {"rest": true, "fail_threshold": one}]);
    let asked = body(json!({"waves": waves}));
    let (_, preview) = harness.answered("/executions/preview", &asked).await;
    assert_eq!(preview["waves"][0]["offline"], 0, "connected desktops are preferred: {preview}");
    assert_eq!(codes(&preview), []);
    let canaries: Vec<&Value> =
        preview["canaries"].as_array().unwrap().iter().map(|canary| &canary["desktop_id"]).collect();
    harness.offline(&[2, 3]).await;
    let pinned = json!({"waves": waves, "canary": {"seed": preview["seed"], "desktop_ids": canaries}});
    let task = harness.execute_rollout(6, pinned).await;
    assert_eq!(task["plan_hash"], preview["plan_hash"]);
    assert_eq!(codes(&task), [("CANARY_OFFLINE", &json!(1))]);
}

#[tokio::test]
async fn plans_that_cannot_do_what_they_say_are_warned_of() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let rollout = json!({
        "waves": [{"count": 2, "fail_threshold": {"count": 3}}, {"percent": 50}, {"rest": true}],
        "approval": {"before_waves": [3]}, "exit_codes": {"3010": "success"},
    });
    let body =
        json!({"resource_ids": ids(3), "command": "true", "command_type": "SHELL", "rollout": rollout});
    let (_, preview) = harness.answered("/executions/preview", &body).await;
    let expected = [
        ("IMPOSSIBLE_EXIT_CODE", &Value::Null),
        ("WAVE_WITHOUT_THRESHOLD", &json!(2)),
        ("THRESHOLD_UNREACHABLE", &json!(1)),
        ("APPROVAL_WITHOUT_WAVE", &Value::Null),
    ];
    assert_eq!(codes(&preview), expected);
    let (_, task) = harness.answered("/executions", &body).await;
    assert_eq!(codes(&task), expected, "the answer has the same ones");
}
