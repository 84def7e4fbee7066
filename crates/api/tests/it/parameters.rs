//! Parameters of scripts: declared, set by an execution, and kept by a retry.

use axum::http::Method;
use domain::outcome::Outcome;
use serde_json::{Value, json};

use crate::harness::{Harness, TOKEN};

const NATIVE: &str = "/v1/projects/project-1";

fn declarations() -> Value {
    json!([
        {"name": "ring", "parameter_type": "CHOICE", "allowed_values": ["a", "b"], "default_value": "a"},
        {"name": "level", "parameter_type": "INTEGER", "is_required": true, "description": "how far"},
    ])
}

async fn native(harness: &Harness, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let answer = harness.call_as(TOKEN, method, &format!("{NATIVE}{path}"), Some(body)).await;
    (answer.status.as_u16(), answer.body)
}

async fn save(harness: &Harness, parameters: &Value) -> (u16, Value) {
    let script = json!({"name": "s", "script_type": "SHELL", "content": "true", "parameters": parameters});
    native(harness, Method::POST, "/scripts", &script).await
}

fn execution(script_id: &str, parameters: &Value) -> Value {
    json!({"resource_ids": ["desktop-0"], "script_ids": [script_id], "parameters": parameters})
}

async fn refused(harness: &Harness, body: &Value) -> (u16, String) {
    let (status, answer) = native(harness, Method::POST, "/executions", body).await;
    (status, answer["error_msg"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn declarations_are_checked_and_kept_by_a_new_revision() {
    let harness = Harness::new().await;
    let (status, script) = save(&harness, &declarations()).await;
    assert_eq!(status, 200, "{script}");
    assert_eq!(script["parameters"][1]["parameter_type"], "INTEGER");
    assert_eq!(
        (&script["parameters"][0]["default_value"], &script["parameters"][1]["is_required"]),
        (&json!("a"), &json!(true))
    );
    let path = format!("/scripts/{}", script["script_id"].as_str().unwrap());
    let (_, kept) = native(&harness, Method::PUT, &path, &json!({"name": "s", "content": "false"})).await;
    assert_eq!((&kept["revision"], &kept["parameters"]), (&json!(2), &script["parameters"]));
    let none = json!({"name": "s", "content": "false", "parameters": []});
    let (_, none) = native(&harness, Method::PUT, &path, &none).await;
    assert_eq!(none["parameters"], json!([]));
    for wrong in [
        json!([{"name": "a-b"}]),
        json!([{"name": "a", "parameter_type": "CHOICE"}]),
        json!([{"name": "a", "kind": 1}]),
    ] {
        assert_eq!(save(&harness, &wrong).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn task_has_the_values_that_were_valid_at_its_submission() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let (_, script) = save(&harness, &declarations()).await;
    let id = script["script_id"].as_str().unwrap();
    let (status, task) =
        native(&harness, Method::POST, "/executions", &execution(id, &json!({"level": "3"}))).await;
    assert_eq!(status, 200, "{task}");
    assert_eq!(task["scripts"][0]["parameters"], json!({"level": "3", "ring": "a"}));

    for (given, field) in [
        (json!({}), "parameters.level"),
        (json!({"level": "x"}), "parameters.level"),
        (json!({"level": "1", "ring": "c"}), "parameters.ring"),
        (json!({"level": "1", "PATH": "/"}), "parameters.PATH"),
    ] {
        let (status, message) = refused(&harness, &execution(id, &given)).await;
        assert_eq!(status, 400);
        assert!(message.contains(field), "{given}: {message}");
    }
    let command = json!({
        "resource_ids": ["desktop-0"], "command": "true", "command_type": "SHELL", "parameters": {"x": "1"}
    });
    assert_eq!(refused(&harness, &command).await.0, 400);
}

#[tokio::test]
async fn published_call_needs_no_parameters_unless_they_are_required() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let (_, required) = save(&harness, &declarations()).await;
    let (_, optional) = save(&harness, &json!([{"name": "ring", "default_value": "a"}])).await;
    let body = |script: &Value| json!({"resource_ids": ["desktop-0"], "script_ids": [script["script_id"]]});
    let (status, message) = harness.refusal(Method::POST, "/script-executions", Some(&body(&required))).await;
    assert_eq!(status, 400);
    assert!(message.contains("parameters.level"), "{message}");
    harness.execute(&body(&optional)).await;
}

#[tokio::test]
async fn values_change_the_script_hash_and_reach_the_order() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let (_, script) = save(&harness, &declarations()).await;
    let id = script["script_id"].as_str().unwrap();
    let mut hashes = Vec::new();
    for level in ["1", "2"] {
        let body = execution(id, &json!({"level": level}));
        let (_, plan) = native(&harness, Method::POST, "/executions/preview", &body).await;
        hashes.push(plan["script_hash"].clone());
    }
    assert_ne!(hashes[0], hashes[1]);
    let (_, task) =
        native(&harness, Method::POST, "/executions", &execution(id, &json!({"level": "2"}))).await;
    assert_eq!(task["script_hash"], hashes[1]);
    let leased = harness.lease(task["task_id"].as_str().unwrap()).await;
    let values: Vec<_> = leased.spec.scripts[0].parameters.iter().collect();
    assert_eq!(values, [(&"level".to_owned(), &"2".to_owned()), (&"ring".to_owned(), &"a".to_owned())]);

    harness.report(&leased, &[&[Outcome::Failed]]).await;
    let path = format!("/tasks/{}/retry", task["task_id"].as_str().unwrap());
    let (status, retry) = native(&harness, Method::POST, &path, &json!({})).await;
    assert_eq!(status, 200, "{retry}");
    assert_eq!(retry["scripts"], task["scripts"], "a retry keeps them");
}
