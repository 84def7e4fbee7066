//! Questions about rights: `access/allowed`.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, TOKEN};

const PATH: &str = "/v1/projects/project-1/access/allowed";

impl Harness {
    async fn ask(&self, token: &str, body: Value) -> Answer {
        self.call_as(token, Method::POST, PATH, Some(&body)).await
    }
}

#[tokio::test]
async fn caller_learns_its_own_rights_without_any_right() {
    let harness = Harness::new().await;
    let policy = r#"some={"Version":"5.0","Statement":[
        {"Effect":"Allow","Action":["graywave:tasks:pause"]},
        {"Effect":"Deny","Action":["graywave:tasks:pause"],"Resource":["task:b"]}]}"#;
    let token = harness.token("alice", &[policy]).await;
    let actions = json!(["graywave:tasks:pause", "workspace:scripts:stop"]);
    let answer = harness
        .ask(&token, json!({"checks": [
            {"resource": "task:a", "actions": actions}, {"resource": "task:b", "actions": actions}, {"resource": "*"}]}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["principal"], &answer.body["policies"]), (&json!("alice"), &json!(["some"])));
    let results = &answer.body["results"];
    assert_eq!(results[0]["allowed"], json!(["graywave:tasks:pause"]));
    assert_eq!(results[0]["denied"][0]["reason"], "NO_POLICY_ALLOWS");
    assert_eq!(
        (&results[1]["allowed"], &results[1]["denied"][0]["reason"]),
        (&json!([]), &json!("POLICY_DENIES"))
    );
    let all =
        results[2]["allowed"].as_array().unwrap().len() + results[2]["denied"].as_array().unwrap().len();
    assert_eq!(all, domain::authz::Action::ALL.len());
    let configured = harness.ask(TOKEN, json!({"checks": [{"resource": "*"}]})).await.body;
    assert_eq!(
        (&configured["policies"], &configured["results"][0]["denied"]),
        (&json!(["admin"]), &json!([]))
    );
}

#[tokio::test]
async fn rights_of_another_principal_need_the_right_to_read_policies() {
    let harness = Harness::new().await;
    let reader = harness.token("bob", &["reader"]).await;
    let admin = harness.token("carol", &["admin"]).await;
    let ask = |name: &str| json!({"principal": name, "checks": [{"resource": "task:*", "actions": ["graywave:tasks:approve"]}]});
    assert_eq!(harness.ask(&reader, ask("carol")).await.status, 403);
    assert_eq!(harness.ask(&reader, ask("bob")).await.status, 200, "its own name");
    let answer = harness.ask(&admin, ask("bob")).await;
    assert_eq!((answer.status.as_u16(), &answer.body["policies"]), (200, &json!(["reader"])));
    assert_eq!(answer.body["results"][0]["denied"][0]["action"], "graywave:tasks:approve");
    let unknown = harness.ask(&admin, ask("nobody")).await;
    let message = unknown.body["error_msg"].as_str().unwrap();
    assert!(unknown.status == 404 && message.contains("PRINCIPAL_NOT_FOUND"), "{message}");
}

#[tokio::test]
async fn malformed_questions_name_their_place() {
    let harness = Harness::new().await;
    let many = vec![json!({"resource": "task:1", "actions": ["graywave:tasks:get"]}); 501];
    let wide = vec![json!({"resource": "*"}); 500];
    for (body, field) in [
        (json!({"checks": []}), "checks"),
        (json!({"checks": many}), "checks"),
        (json!({"checks": wide}), "checks"),
        (json!({"checks": [{"resource": "task:1"}, {"resource": "tsk:1"}]}), "checks[1].resource"),
        (json!({"checks": [{"resource": "desktop:a\u{0}b"}]}), "checks[0].resource"),
        (
            json!({"checks": [{"resource": "*", "actions": ["graywave:tasks:get", "run"]}]}),
            "checks[0].actions[1]",
        ),
        (json!({"checks": [{"resource": "*"}], "principal": "a\u{0}b"}), "principal"),
    ] {
        let answer = harness.ask(TOKEN, body.clone()).await;
        let message = answer.body["error_msg"].as_str().unwrap_or_default();
        assert_eq!(answer.status, 400, "{message}");
        assert!(message.starts_with(&format!("{field}: ")), "{field}: {message}");
    }
    assert_eq!(harness.ask(TOKEN, json!({"checks": [{"resource": "*", "action": []}]})).await.status, 400);
}
