//! Signed requests. The tests sign as the published guide describes, for paths and queries that
//! need no encoding.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use control::Actor;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{ACCESS_KEY, Harness, SECRET_KEY};

/// Time of the harness's clock.
pub(crate) const NOW: &str = "20270115T080000Z";

pub(crate) fn signed(method: &str, path: &str, query: &str, date: &str, body: &str) -> Request<Body> {
    signed_with(ACCESS_KEY, SECRET_KEY, method, path, query, date, body)
}

fn signed_with(
    access_key: &str,
    secret_key: &str,
    method: &str,
    path: &str,
    query: &str,
    date: &str,
    body: &str,
) -> Request<Body> {
    let hash = |text: &str| hex::encode(Sha256::digest(text));
    let canonical = format!(
        "{method}\n{path}/\n{query}\nhost:localhost\nx-sdk-date:{date}\n\nhost;x-sdk-date\n{}",
        hash(body)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).unwrap();
    mac.update(format!("SDK-HMAC-SHA256\n{date}\n{}", hash(&canonical)).as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let authorization =
        format!("SDK-HMAC-SHA256 Access={access_key}, SignedHeaders=host;x-sdk-date, Signature={signature}");
    Request::builder()
        .method(method)
        .uri(format!("{path}?{query}"))
        .header("Host", "localhost")
        .header("X-Sdk-Date", date)
        .header("Authorization", authorization)
        .body(Body::from(body.to_owned()))
        .unwrap()
}

#[tokio::test]
async fn a_signed_request_is_let_in_and_its_body_reaches_the_handler() {
    let harness = Harness::new().await;
    let body = json!({"name": "s", "type": "SHELL", "content": "true"}).to_string();
    let created = harness.send(signed("POST", "/v2/project-1/scripts", "", NOW, &body)).await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.body);
    let listed = harness.send(signed("GET", "/v2/project-1/scripts", "limit=5&name=s", NOW, "")).await;
    assert_eq!((listed.status, &listed.body["count"]), (StatusCode::OK, &json!(1)), "{}", listed.body);
}

#[tokio::test]
async fn a_bad_signature_is_a_401_and_a_foreign_project_a_403() {
    let harness = Harness::new().await;
    let mut changed = signed("POST", "/v2/project-1/scripts", "", NOW, "{}");
    *changed.body_mut() = Body::from(json!({"name": "s", "type": "SHELL", "content": "true"}).to_string());
    let mut moved = signed("GET", "/v2/project-1/scripts", "", NOW, "");
    *moved.uri_mut() = "/v2/project-1/desktops".parse().unwrap();
    let late = signed("GET", "/v2/project-1/scripts", "", "20270115T074459Z", "");
    let mut stranger = signed("GET", "/v2/project-1/scripts", "", NOW, "");
    let header = stranger.headers_mut().get_mut("authorization").unwrap();
    *header = header.to_str().unwrap().replace(ACCESS_KEY, "AK-of-nobody").parse().unwrap();
    for (request, word) in [
        (changed, "does not match"),
        (moved, "does not match"),
        (late, "15 minutes"),
        (stranger, "is unknown"),
    ] {
        let answer = harness.send(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{word}");
        assert_eq!(answer.body["error_code"], "WKS.00211302");
        assert!(answer.body["error_msg"].as_str().unwrap().contains(word), "{word}: {}", answer.body);
    }
    assert_eq!(harness.count("SELECT count(*) FROM script").await, 0);
    let foreign = harness.send(signed("GET", "/v2/project-2/scripts", "", NOW, "")).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn replayed_signed_change_runs_once_and_a_read_each_time() {
    let harness = Harness::new().await;
    let key = harness.key("alice").await;
    let body = json!({"name": "s", "type": "SHELL", "content": "true"}).to_string();
    let change = |date: &str| {
        signed_with(&key.access_key, &key.secret_key, "POST", "/v2/project-1/scripts", "", date, &body)
    };
    assert_eq!(harness.send(change(NOW)).await.status, StatusCode::OK);
    let replayed = harness.send(change(NOW)).await;
    assert_eq!(replayed.status, StatusCode::UNAUTHORIZED);
    assert!(replayed.body["error_msg"].as_str().unwrap().contains("already sent"), "{}", replayed.body);
    assert_eq!(harness.count("SELECT count(*) FROM script").await, 1);
    // A new signature makes a new request.
    assert_eq!(harness.send(change("20270115T080001Z")).await.status, StatusCode::OK);
    let look = || signed_with(&key.access_key, &key.secret_key, "GET", "/v2/project-1/scripts", "", NOW, "");
    for _ in 0..2 {
        assert_eq!(harness.send(look()).await.body["count"], 2);
    }
    // Kept while the clock tolerance and the body timeout could still accept it, and no longer.
    harness.control.forget_expired().await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM used_request_signature").await, 2);
    let mut connection = harness.database.connection().await.unwrap();
    let longest: bool = sqlx::query_scalar(
        "SELECT bool_and(expires_at = timestamptz '2027-01-15 08:32:00+00') FROM used_request_signature",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(longest);
}

#[tokio::test]
async fn a_key_of_the_database_signs_until_it_is_revoked() {
    let harness = Harness::new().await;
    let key = harness.key("alice").await;
    let look = |secret: &str| {
        signed_with(
            &key.access_key,
            secret,
            "GET",
            "/v2/project-1/scripts",
            "limit=5&name=a%20b&name2=%2B",
            NOW,
            "",
        )
    };
    assert_eq!(harness.send(look(&key.secret_key)).await.status, StatusCode::OK);
    assert_eq!(harness.send(look("another secret key")).await.status, StatusCode::UNAUTHORIZED);
    let project_id = "project-1".parse().unwrap();
    harness.control.revoke_key(Actor::Database(&project_id), &key.access_key).await.unwrap();
    let refused = harness.send(look(&key.secret_key)).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.body["error_msg"].as_str().unwrap().contains("expired or revoked"));
}

#[tokio::test]
async fn refused_signed_change_is_audited_whatever_its_length() {
    let harness = Harness::new().await;
    let refused = "SELECT count(*) FROM audit WHERE result = 'REFUSED' AND principal = 'configuration'";
    let foreign = || signed("POST", "/v2/project-2/scripts", "", NOW, "{}");
    assert_eq!(harness.send(foreign()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(harness.count(refused).await, 1);
    let in_pieces = foreign().map(|body| Body::from_stream(body.into_data_stream()));
    assert_eq!(harness.send(in_pieces).await.status, StatusCode::FORBIDDEN);
    assert_eq!(harness.count(refused).await, 2);
    // The audit names no caller whose signature was not verified.
    let mut forged = foreign();
    *forged.body_mut() = Body::from("{ }");
    assert_eq!(harness.send(forged).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(harness.count(refused).await, 2);
}
