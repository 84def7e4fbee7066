//! Scripts in the compatible family, as published.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Harness, ids};

#[tokio::test]
async fn create_show_update_delete() {
    let harness = Harness::new().await;
    let body =
        json!({"name": "one", "type": "SHELL", "content": "true", "description": "d", "version": "v1"});
    let created = harness.post("/scripts", &body).await;
    assert_eq!(created.status, StatusCode::OK);
    let id = created.body["script_id"].as_str().unwrap();
    insta::assert_json_snapshot!("script_detail", harness.get(&format!("/scripts/{id}")).await);

    let path = format!("/scripts/{id}");
    let put = json!({"name": "two", "content": "false"});
    let updated = harness.call(Method::PUT, &path, Some(&put)).await;
    assert_eq!((updated.status, updated.body), (StatusCode::NO_CONTENT, json!(null)));
    let shown = harness.get(&path).await;
    assert_eq!(shown["content"], "false");
    assert_eq!(shown["type"], "SHELL", "never changes");
    assert_eq!(shown["description"], "", "a PUT replaces all fields");

    let deleted = harness.call(Method::DELETE, &path, None).await;
    assert_eq!((deleted.status, deleted.body), (StatusCode::NO_CONTENT, json!(null)));
    for (method, body) in [(Method::GET, None), (Method::PUT, Some(&put)), (Method::DELETE, None)] {
        assert_eq!(harness.refusal(method, &path, body).await.0, 404);
    }
    assert_eq!(harness.get("/scripts").await["count"], 0);
}

#[tokio::test]
async fn list_pages_and_filters() {
    let harness = Harness::new().await;
    for number in 0..12 {
        harness.create_script(&format!("script-{number}"), "true").await;
    }
    let first = harness.get("/scripts").await;
    assert_eq!(first["count"], 12);
    assert_eq!(first["scripts"].as_array().unwrap().len(), 10, "the default limit");
    assert_eq!(first["scripts"][0]["name"], "script-11", "newest first");
    assert!(first["scripts"][0].get("content").is_none(), "no content in a list");
    assert_eq!(harness.get("/scripts?offset=10").await["scripts"].as_array().unwrap().len(), 2);
    assert_eq!(harness.get("/scripts?name=script-3").await["count"], 1);
    assert_eq!(harness.get("/scripts?type=BAT").await["count"], 0);
    assert_eq!(harness.get("/scripts?id=nonsense").await["count"], 0);
    for query in ["limit=0", "limit=101", "offset=-1", "limit=x", "type=PERL"] {
        assert_eq!(harness.refusal(Method::GET, &format!("/scripts?{query}"), None).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let harness = Harness::new().await;
    for (body, word) in [
        (json!({}), "type: a script needs a type"),
        (json!({"name": "s", "content": "true"}), "type: a script needs a type"),
        (json!({"type": "SHELL", "content": "true"}), "name: a script needs a name"),
        (json!({"name": "s", "type": "SHELL"}), "content: a script needs a content"),
        (json!({"name": "s", "type": "PERL", "content": "1"}), "POWERSHELL, BAT, SHELL"),
        (json!({"name": 7, "type": "SHELL", "content": "1"}), "name: invalid type"),
        (json!({"name": "s", "type": "SHELL", "content": "x".repeat(100_001)}), "at most 100000"),
        (json!([]), "the body is a list"),
    ] {
        let (status, message) = harness.refusal(Method::POST, "/scripts", Some(&body)).await;
        assert_eq!(status, 400);
        assert!(message.contains(word), "{word}: {message}");
    }
    assert_eq!(harness.count("SELECT count(*) FROM script").await, 0);
}

#[tokio::test]
async fn a_hundred_thousand_characters_are_kept_whole() {
    let harness = Harness::new().await;
    let content = "\u{4e2d}".repeat(100_000);
    let id = harness.create_script("long", &content).await;
    assert_eq!(harness.get(&format!("/scripts/{id}")).await["content"], content);
}

#[tokio::test]
async fn a_task_keeps_the_revision_that_it_was_given() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let id = harness.create_script("s", "echo first").await;
    let task = harness.execute(&json!({"resource_ids": ids(1), "script_ids": [id]})).await;
    let path = format!("/scripts/{id}");
    harness.call(Method::PUT, &path, Some(&json!({"name": "s2", "content": "echo second"}))).await;
    harness.call(Method::DELETE, &path, None).await;

    let pinned = harness.get(&format!("{path}?script_task_id={task}")).await;
    assert_eq!((&pinned["content"], &pinned["name"]), (&json!("echo first"), &json!("s")));
    let now = Harness::now();
    harness.engine.admit_all(now).await.unwrap();
    let leased = harness.engine.lease(&Harness::worker(), 10, now).await.unwrap().leased;
    assert_eq!(leased[0].spec.scripts[0].content, "echo first", "the pinned revision runs");
    let other = "0".repeat(32);
    assert_eq!(harness.refusal(Method::GET, &format!("{path}?script_task_id={other}"), None).await.0, 404);
}
