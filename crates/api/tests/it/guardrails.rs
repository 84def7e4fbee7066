//! Guardrails of a project, reasons and tickets in headers, and warnings in answers.

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, TOKEN, ids};

impl Harness {
    /// Sends a body with the headers of a reason and a ticket.
    async fn justified(&self, path: &str, body: &Value, headers: &[(&str, &[u8])]) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(path).header("X-Auth-Token", TOKEN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn limit(&self, limits: &Value) -> Value {
        let path = "/v1/projects/project-1/limits";
        let answer = self.call_as(TOKEN, Method::PUT, path, Some(limits)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

const EXECUTE: &str = "/v2/project-1/script-executions";
const V1: &str = "/v1/projects/project-1";

fn command(desktops: u32) -> Value {
    json!({"command": "true", "command_type": "SHELL", "resource_ids": ids(desktops)})
}

#[tokio::test]
async fn guardrails_are_kept_by_clients_that_do_not_know_them() {
    let harness = Harness::new().await;
    let set = json!({"require_canary_above": 20, "require_threshold": true, "max_wave_percent": 12.5,
        "require_reason": true, "require_approval_above": 0});
    let stored = harness.limit(&set).await;
    for (name, value) in set.as_object().unwrap() {
        assert_eq!(&stored[name], value, "{name}");
    }
    assert_eq!(harness.limit(&json!({"max_in_flight": 5})).await["require_canary_above"], 20);
    let off = json!({"require_canary_above": null, "max_wave_percent": null, "require_reason": false});
    let stored = harness.limit(&off).await;
    assert_eq!((&stored["require_canary_above"], &stored["max_wave_percent"]), (&Value::Null, &Value::Null));
    assert_eq!((&stored["require_threshold"], &stored["require_approval_above"]), (&json!(true), &json!(0)));
    let path = "/v1/projects/project-1/limits";
    for wrong in [
        json!({"require_canary_above": 0}),
        json!({"max_wave_percent": 100.5}),
        json!({"require_approval_above": -1}),
    ] {
        let answer = harness.call_as(TOKEN, Method::PUT, path, Some(&wrong)).await;
        let name = wrong.as_object().unwrap().keys().next().unwrap().clone();
        let message = answer.body["error_msg"].as_str().unwrap();
        assert!(answer.status == 400 && message.starts_with(&name), "{wrong}: {message}");
    }
}

#[tokio::test]
async fn each_call_that_starts_a_task_keeps_the_guardrails() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    harness.limit(&json!({"require_canary_above": 2})).await;
    let body = command(3);
    for path in [EXECUTE.to_owned(), format!("{V1}/executions"), format!("{V1}/executions/preview")] {
        let answer = harness.justified(&path, &body, &[]).await;
        let message = answer.body["error_msg"].as_str().unwrap();
        assert_eq!(answer.status, 400, "{path}: {message}");
        assert!(message.starts_with("gray_count: the first wave has 3 desktops"), "{message}");
        assert!(message.contains("require_canary_above"), "{message}");
    }
    let mut gray = body.clone();
    gray["gray_count"] = json!(1);
    assert_eq!(harness.justified(EXECUTE, &gray, &[]).await.status, 200);
}

#[tokio::test]
async fn retry_keeps_the_guardrails_of_today() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let task_id = harness.execute(&command(2)).await;
    let leased = harness.lease(&task_id).await;
    harness.report_printed(&leased, &[(1, "no".to_owned()), (1, "no".to_owned())]).await;
    harness.limit(&json!({"require_threshold": true})).await;
    let retry = format!("{EXECUTE}/retry");
    let answer = harness.justified(&retry, &json!({"task_id": task_id}), &[]).await;
    let message = answer.body["error_msg"].as_str().unwrap();
    assert_eq!(answer.status, 400, "{message}");
    assert!(message.starts_with("wave 1 with 2 of 2 desktops has no failure threshold"), "{message}");
    assert!(message.contains("submit a new task on these desktops"), "{message}");
    harness.limit(&json!({"require_threshold": false, "require_reason": true})).await;
    let answer = harness.justified(&retry, &json!({"task_id": task_id}), &[]).await;
    assert!(answer.body["error_msg"].as_str().unwrap().starts_with("X-Graywave-Reason: "));
    let reason: &[(&str, &[u8])] = &[("X-Graywave-Reason", b"again")];
    assert_eq!(harness.justified(&retry, &json!({"task_id": task_id}), reason).await.status, 200);
}

#[tokio::test]
async fn reason_of_a_header_is_stored_audited_found_and_shown() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    harness.limit(&json!({"require_reason": true})).await;
    let without = harness.justified(EXECUTE, &command(2), &[("X-Graywave-Ticket", b"OPS-7")]).await;
    let message = without.body["error_msg"].as_str().unwrap();
    assert!(message.starts_with("X-Graywave-Reason: the guardrail require_reason"), "{message}");
    let headers: &[(&str, &[u8])] =
        &[("X-Graywave-Reason", b"gr%C3%B6%C3%9Fer als 5 %"), ("x-graywave-ticket", b"OPS-7")];
    let made = harness.justified(EXECUTE, &command(2), headers).await;
    let task_id = made.body["task_id"].as_str().unwrap().to_owned();
    let task = harness.native(&format!("/tasks/{task_id}")).await;
    assert_eq!((&task["submit_reason"], &task["ticket"]), (&json!("größer als 5 %"), &json!("OPS-7")));
    let found = async |query: &str| {
        harness.native(&format!("/tasks?{query}")).await["tasks"].as_array().unwrap().len()
    };
    assert_eq!((found("ticket=OPS-7").await, found("ticket=OPS-8").await), (1, 0));
    assert_eq!((found("reason=GR%C3%96SSER").await, found("reason=gr%C3%B6%C3%9Fer").await), (0, 1));
    let stop = harness.justified(&format!("{EXECUTE}/stop"), &json!({"task_id": task_id}), headers).await;
    assert_eq!(stop.status, 200);
    let stopped = harness.native(&format!("/tasks/{task_id}")).await;
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.ends_with(": größer als 5 % (OPS-7)") && reason.starts_with("stopped by "), "{reason}");
    let freeze: &[(&str, &[u8])] = &[("X-Graywave-Reason", b"header"), ("X-Graywave-Ticket", b"OPS-8")];
    let frozen = harness.justified(&format!("{V1}/freeze"), &json!({"reason": "body"}), freeze).await.body;
    assert_eq!((&frozen["reason"], &frozen["ticket"]), (&json!("body"), &json!("OPS-8")));
    let audit = harness.native("/audit?page_size=100").await;
    let details = |action: &str| {
        let entries = audit["entries"].as_array().unwrap();
        let entry = entries.iter().find(|it| it["action"] == action && it["result"] == "DONE");
        entry.unwrap_or_else(|| panic!("{action}: {audit}"))["details"].clone()
    };
    for action in ["workspace:scripts:execute", "workspace:scripts:stop"] {
        let details = details(action);
        assert_eq!((&details["reason"], &details["ticket"]), (&json!("größer als 5 %"), &json!("OPS-7")));
    }
    assert_eq!(details("graywave:project:freeze"), json!({"reason": "body", "ticket": "OPS-8"}));
}

#[tokio::test]
async fn header_that_is_no_reason_is_refused_by_its_name() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    for (name, value) in [
        ("X-Graywave-Reason", b"gr\xf6\xdfer".as_slice()),
        ("X-Graywave-Reason", b"red%1B[31m"),
        ("X-Graywave-Reason", "x".repeat(501).as_bytes()),
        ("X-Graywave-Ticket", b"OPS 7"),
    ] {
        let answer = harness.justified(EXECUTE, &command(1), &[(name, value)]).await;
        let message = answer.body["error_msg"].as_str().unwrap();
        assert!(answer.status == 400 && message.starts_with(&format!("{name}: ")), "{message}");
    }
    // A read ignores the headers.
    let tasks = Request::builder().uri(format!("{V1}/tasks")).header("X-Auth-Token", TOKEN);
    let tasks = tasks.header("X-Graywave-Reason", b"\xff".as_slice()).body(Body::empty()).unwrap();
    assert_eq!(harness.send(tasks).await.status, 200);
}

#[tokio::test]
async fn waves_without_a_threshold_are_warned_of_in_each_answer() {
    let harness = Harness::new().await;
    harness.desktops(21).await;
    let mut gray = command(21);
    gray["gray_count"] = json!(2);
    let answer = harness.justified(EXECUTE, &gray, &[]).await;
    assert_eq!(answer.headers["x-graywave-warnings"], "WAVE_WITHOUT_THRESHOLD;wave=2");
    assert_eq!(answer.body.as_object().unwrap().len(), 1, "the published body has the id alone");
    let whole = harness.justified(EXECUTE, &command(21), &[]).await;
    assert_eq!(whole.headers["x-graywave-warnings"], "NO_CANARY, WAVE_WITHOUT_THRESHOLD;wave=1");
    for path in ["executions", "executions/preview"] {
        let answer = harness.justified(&format!("{V1}/{path}"), &gray, &[]).await.body;
        let warnings = answer["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{answer}");
        assert_eq!(
            (&warnings[0]["code"], &warnings[0]["wave"]),
            (&json!("WAVE_WITHOUT_THRESHOLD"), &json!(2))
        );
    }
    gray["rollout"] = json!({"fail_threshold": {"count": 3}});
    assert!(!harness.justified(EXECUTE, &gray, &[]).await.headers.contains_key("x-graywave-warnings"));
}
