//! The first screen: what waits for a person, and what runs.

use axum::http::Method;
use domain::outcome::Outcome;
use serde_json::{Value, json};

use crate::harness::{Harness, ids};

impl Harness {
    /// Changes rows, as time would.
    async fn update(&self, statement: &'static str) {
        let mut connection = self.database.connection().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }

    async fn task(&self, number: u32, rollout: Value) -> String {
        let body = json!({"resource_ids": ids(number), "command": "true", "command_type": "SHELL", "rollout": rollout});
        let answer = self.native_post("/executions", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["task_id"].as_str().unwrap().to_owned()
    }
}

fn kinds(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| (text(&item["kind"]), text(&item["task"]["task_id"]))).collect()
}

#[tokio::test]
async fn empty_project_asks_for_no_attention() {
    let harness = Harness::new().await;
    let list = harness.native("/attention").await;
    assert_eq!((&list["items"], &list["running"], &list["frozen"]), (&json!([]), &json!([]), &Value::Null));
    assert_eq!(list["truncated"], false);
    assert!(list["counts"].as_object().unwrap().values().all(|count| count == 0), "{list}");
}

#[tokio::test]
async fn tasks_that_wait_for_a_person_come_with_the_reason() {
    let harness = Harness::new().await;
    harness.desktops(5).await;
    let halted = harness
        .task(3, json!({"waves": [{"count": 1, "fail_threshold": {"count": 1}}, {"rest": true}]}))
        .await;
    harness.run(&halted, &[Outcome::Failed]).await;
    let approval = harness
        .task(3, json!({"waves": [{"count": 1}, {"rest": true}], "approval": {"before_waves": [2]}}))
        .await;
    harness.run(&approval, &[Outcome::Success]).await;
    let holding = harness.task(3, json!({"waves": [{"count": 1}, {"rest": true}]})).await;
    harness.run(&holding, &[Outcome::Failed]).await;
    let running = harness.task(5, json!({"fail_threshold": {"count": 4}})).await;
    let leased = harness.lease(&running).await;

    let list = harness.native("/attention").await;
    let expected = [("HALTED", &halted), ("HOLDING", &holding), ("APPROVAL", &approval)];
    assert_eq!(kinds(&list), expected.map(|(kind, id)| (kind.to_owned(), id.clone())), "{list}");
    let waits = &list["items"][2];
    assert_eq!((&waits["wave"], &waits["targets"], &waits["until"]), (&json!(2), &json!(2), &Value::Null));
    assert_eq!(waits["sentence"], "wave 2 of 2 targets waits for an approval");
    assert!(list["items"][1]["until"].is_string(), "a hold without evidence ends by itself");
    let counts = &list["counts"];
    assert_eq!(
        (&counts["halted"], &counts["holding"], &counts["approval"], &counts["running"]),
        (&json!(1), &json!(1), &json!(1), &json!(3))
    );
    // The task with the fewest failures left comes first.
    let first = &list["running"][0];
    assert_eq!(
        (&first["task_id"], &first["margin"]["left"], &first["margin"]["at_risk"]),
        (&json!(running), &json!(4), &json!(5))
    );
    drop(leased);

    let retried = harness.native_post(&format!("/tasks/{halted}/retry"), &Value::Null).await;
    assert_eq!(retried.status, 200, "{}", retried.body);
    harness.native_post("/freeze", &json!({"reason": "incident 7"})).await;
    let list = harness.native("/attention").await;
    assert!(!kinds(&list).iter().any(|(kind, _)| kind == "HALTED"), "a retried task waits for no person");
    assert!(list["frozen"]["time"].is_string());
    assert_eq!(list["counts"]["frozen"], 4);
}

#[tokio::test]
async fn targets_past_half_of_their_deadline_are_stragglers() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    harness.offline(&[2]).await;
    let task_id = harness.task(3, Value::Null).await;
    let _leased = harness.lease(&task_id).await;
    assert_eq!(harness.native("/attention").await["counts"]["stragglers"], 0);
    // As time passes: the rows that admission wrote become older than half of their deadline.
    harness.update("UPDATE batch SET created_at = created_at - interval '1 day'").await;
    harness.update("UPDATE deferred_target SET deliver_by = deliver_by - interval '6 minutes'").await;
    let list = harness.native("/attention").await;
    assert_eq!(
        (kinds(&list), &list["counts"]["stragglers"]),
        (vec![("STRAGGLERS".to_owned(), task_id)], &json!(3))
    );
}

#[tokio::test]
async fn attention_needs_the_right_to_list_tasks() {
    let harness = Harness::new().await;
    let narrow = r#"one={"Version":"5.0","Statement":[{"Effect":"Allow","Action":["graywave:tasks:get"]}]}"#;
    let token = harness.token("alice", &[narrow]).await;
    let path = "/v1/projects/project-1/attention";
    assert_eq!(harness.call_as(&token, Method::GET, path, None).await.status, 403);
}
