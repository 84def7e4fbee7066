//! Protection: rate limits, concurrency limits, size limits, timeouts and idempotency.

use std::{num::NonZeroU32, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use control::{Access, Control, DatabaseClock, Defaults};
use serde_json::{Value, json};
use store::{PoolOptions, Store};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tower::ServiceExt as _;

use crate::harness::{Answer, Harness, OTHER_TOKEN, TOKEN, ids, request_with};

async fn with_key(harness: &Harness, key: &str, path: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v2/project-1{path}"))
        .header("X-Auth-Token", TOKEN)
        .header("Idempotency-Key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    harness.send(request).await
}

#[tokio::test]
async fn who_calls_too_often_is_told_to_wait_and_others_are_not() {
    let harness = Harness::with(|options| api::Options {
        rate_per_second: NonZeroU32::MIN,
        rate_burst: NonZeroU32::new(3).unwrap(),
        ..options
    })
    .await;
    let alice = harness.token("alice", &["reader"]).await;
    for _ in 0..3 {
        assert_eq!(harness.call(Method::GET, "/scripts", None).await.status, StatusCode::OK);
    }
    let refused = harness.call(Method::GET, "/scripts", None).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.body["error_code"], "WKS.00211429");
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    let other = harness.call_as(&alice, Method::GET, "/v2/project-1/scripts", None).await;
    assert_eq!(other.status, StatusCode::OK);
}

#[tokio::test]
async fn more_than_can_be_under_way_is_shed() {
    let harness = Harness::with(|options| api::Options { max_in_flight: 1, ..options }).await;
    let alice = harness.token("alice", &["reader"]).await;
    let (slow, mut waiting) = half_sent(&harness, TOKEN, "/scripts");
    is_read(&mut waiting).await;
    let refused = harness.call_as(&alice, Method::GET, "/v2/project-1/scripts", None).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused.headers.contains_key(header::RETRY_AFTER) && refused.headers.contains_key("x-request-id")
    );
    drop(waiting);
    assert_eq!(slow.await.unwrap(), StatusCode::BAD_REQUEST, "the slow body arrived in time");
}

#[tokio::test]
async fn body_over_the_configured_limit_is_refused_unread() {
    let harness = Harness::with(|options| api::Options { max_execution_body_bytes: 3_000, ..options }).await;
    harness.desktops(1).await;
    let padded = |bytes: usize| json!({"resource_ids": ids(1), "command": "true", "command_type": "SHELL", "x": "x".repeat(bytes)});
    let small = harness.post("/script-executions", &padded(2_000)).await;
    assert_eq!(small.status, StatusCode::OK, "{}", small.body);
    for path in ["/script-executions", "/script-executions/by-desktop-tag"] {
        let large = harness.post(path, &padded(4_000)).await;
        assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
    }
}

#[tokio::test]
async fn only_bodies_count_against_the_budget_of_bodies() {
    let harness = Harness::with(|options| api::Options {
        max_execution_body_bytes: 1,
        body_budget_bytes: 2 << 20,
        ..options
    })
    .await;
    // Without a declared length the body reserves the limit of a script, and the body never ends.
    let (endless, mut sender) = half_sent(&harness, TOKEN, "/scripts");
    is_read(&mut sender).await;
    let script = json!({"name": "s", "type": "SHELL", "content": "true"});
    let refused = harness.post("/scripts", &script).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "the principal uses up its share");
    let looks =
        futures::future::join_all((0..100).map(|_| harness.call(Method::GET, "/scripts", None))).await;
    assert!(looks.iter().all(|answer| answer.status == StatusCode::OK));
    endless.abort();
    assert!(endless.await.is_err());
    assert_eq!(harness.post("/scripts", &script).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_database_that_is_away_is_a_503_that_says_when_to_come_back() {
    let store = Store::connect(&PoolOptions {
        acquire_timeout: Duration::from_millis(200),
        ..PoolOptions::new("postgres://nobody@127.0.0.1:9/nothing")
    })
    .unwrap();
    let clock = std::sync::Arc::new(DatabaseClock::new(&store));
    let control = Control::new(store, Defaults::default(), clock, Access::default());
    let router = api::router(control, &api::Options::default());
    let answer = router.oneshot(request_with("/v2/project-1/scripts", Some(TOKEN))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "5");
    let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(!text.contains("127.0.0.1") && !text.contains("nobody"), "{text}");
}

#[tokio::test]
async fn a_key_makes_a_post_happen_once() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let script = json!({"name": "s", "type": "SHELL", "content": "true"});
    let first = with_key(&harness, "k1", "/scripts", &script).await;
    let again = with_key(&harness, "k1", "/scripts", &script).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(harness.count("SELECT count(*) FROM script").await, 1);

    // Concurrent requests with the same key.
    let run = json!({"resource_ids": ids(2), "command": "true", "command_type": "SHELL"});
    let calls = (0..8).map(|_| with_key(&harness, "k2", "/script-executions", &run));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK && answer.body == answers[0].body));
    assert_eq!(harness.count("SELECT count(*) FROM task").await, 1);
    let task_id = answers[0].body["task_id"].as_str().unwrap().to_owned();

    let stop = json!({"task_id": task_id});
    assert_eq!(with_key(&harness, "k3", "/script-executions/stop", &stop).await.status, StatusCode::OK);
    let retry = with_key(&harness, "k4", "/script-executions/retry", &stop).await;
    assert_eq!(with_key(&harness, "k4", "/script-executions/retry", &stop).await.body, retry.body);
    assert_eq!(harness.count("SELECT count(*) FROM task").await, 2);
}

#[tokio::test]
async fn a_key_belongs_to_one_request_of_one_principal() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let script = |name: &str| json!({"name": name, "type": "SHELL", "content": "true"});
    assert_eq!(with_key(&harness, "k", "/scripts", &script("a")).await.status, StatusCode::OK);
    for (path, body) in [("/scripts", script("b")), ("/script-executions", script("a"))] {
        let other = with_key(&harness, "k", path, &body).await;
        assert_eq!(
            (other.status, &other.body["error_code"]),
            (StatusCode::CONFLICT, &json!("WKS.00211410")),
            "{path}"
        );
    }
    // A refused request does not use up its key.
    assert_eq!(
        with_key(&harness, "k2", "/scripts", &json!({"name": "c"})).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(with_key(&harness, "k2", "/scripts", &script("c")).await.status, StatusCode::OK);
    for bad in ["", "a b"] {
        assert_eq!(with_key(&harness, bad, "/scripts", &script("d")).await.status, StatusCode::BAD_REQUEST);
    }
    let alice = harness.token("alice", &["admin"]).await;
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v2/project-1/scripts")
        .header("X-Auth-Token", alice)
        .header("Idempotency-Key", "k")
        .body(Body::from(script("hers").to_string()))
        .unwrap();
    assert_eq!(harness.send(request).await.status, StatusCode::OK);
    assert_eq!(harness.count("SELECT count(*) FROM script").await, 3);
    // Keys older than a day are deleted.
    let mut connection = harness.database.connection().await.unwrap();
    sqlx::query("UPDATE idempotency SET expires_at = '2020-01-01'").execute(&mut connection).await.unwrap();
    harness.control.forget_expired().await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM idempotency").await, 0);
}

/// A POST in the background whose body never ends.
fn half_sent(
    harness: &Harness,
    token: &str,
    path: &str,
) -> (tokio::task::JoinHandle<StatusCode>, DuplexStream) {
    let (sender, body) = tokio::io::duplex(64);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v2/project-1{path}"))
        .header("X-Auth-Token", token)
        .body(Body::from_stream(tokio_util::io::ReaderStream::new(body)))
        .unwrap();
    let answer = harness.router.clone().oneshot(request);
    (tokio::spawn(async move { answer.await.unwrap().status() }), sender)
}

/// Waits until the server reads the body: more bytes are sent than buffers hold.
async fn is_read(sender: &mut DuplexStream) {
    sender.write_all(&[b' '; 200]).await.unwrap();
}

#[tokio::test]
async fn half_sent_posts_of_a_reader_are_refused_unread() {
    let harness = Harness::new().await;
    let reader = harness.token("reader", &["reader"]).await;
    for _ in 0..3 {
        let (answer, _sender) = half_sent(&harness, &reader, "/scripts");
        let status = tokio::time::timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN, "rights are checked before the body");
        let (answer, _sender) = half_sent(&harness, OTHER_TOKEN, "/scripts");
        let status = tokio::time::timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN, "the project is checked before the body");
    }
}

#[tokio::test]
async fn half_sent_posts_keep_nobody_from_a_stop() {
    let harness = Harness::with(|options| api::Options {
        max_execution_body_bytes: 8 << 20,
        body_budget_bytes: 64 << 20,
        ..options
    })
    .await;
    harness.desktops(1).await;
    let body = json!({"resource_ids": ids(1), "command": "true", "command_type": "SHELL"});
    let task = harness.post("/script-executions", &body).await.body["task_id"].clone();
    let alice = harness.token("alice", &["operator"]).await;
    let mut waiting = Vec::new();
    for _ in 0..300 {
        waiting.push(half_sent(&harness, &alice, "/scripts"));
    }
    // Each request is now either refused or waits for its body.
    let refused = loop {
        tokio::task::yield_now().await;
        let refused = waiting.iter().filter(|(answer, _)| answer.is_finished()).count();
        if refused > 200 {
            break refused;
        }
    };
    assert!(refused < 300, "the share of the principal is read");
    for (answer, _) in waiting.iter_mut().filter(|(answer, _)| answer.is_finished()) {
        assert_eq!(answer.await.unwrap(), StatusCode::TOO_MANY_REQUESTS, "beyond its share");
    }
    let stop = json!({"task_id": task});
    let own =
        harness.call_as(&alice, Method::POST, "/v2/project-1/script-executions/stop", Some(&stop)).await;
    assert_eq!(own.status, StatusCode::OK, "a stop of the same principal");
    let other = harness.post("/scripts", &json!({"name": "a", "type": "SHELL", "content": "true"})).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.body);
    let stopped = harness.post("/script-executions/stop", &stop).await;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.body);
}

#[tokio::test]
async fn body_that_does_not_arrive_is_given_up() {
    let harness =
        Harness::with(|options| api::Options { body_timeout: Duration::from_millis(50), ..options }).await;
    let (answer, _sender) = half_sent(&harness, TOKEN, "/scripts");
    let status = tokio::time::timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
