//! Signed requests, signed here as the published guide says, for paths and queries that need no encoding.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{ACCESS_KEY, Harness, SECRET_KEY};

/// The moment at which the harness's clock stands.
const NOW: &str = "20270115T080000Z";

fn signed(method: &str, path: &str, query: &str, date: &str, body: &str) -> Request<Body> {
    let hash = |text: &str| hex::encode(Sha256::digest(text));
    let canonical = format!(
        "{method}\n{path}/\n{query}\nhost:localhost\nx-sdk-date:{date}\n\nhost;x-sdk-date\n{}",
        hash(body)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET_KEY.as_bytes()).unwrap();
    mac.update(format!("SDK-HMAC-SHA256\n{date}\n{}", hash(&canonical)).as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let authorization =
        format!("SDK-HMAC-SHA256 Access={ACCESS_KEY}, SignedHeaders=host;x-sdk-date, Signature={signature}");
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
    for (request, word) in
        [(changed, "does not fit"), (moved, "does not fit"), (late, "15 minutes"), (stranger, "not known")]
    {
        let answer = harness.send(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{word}");
        assert_eq!(answer.body["error_code"], "WKS.00211302");
        assert!(answer.body["error_msg"].as_str().unwrap().contains(word), "{word}: {}", answer.body);
    }
    assert_eq!(harness.count("SELECT count(*) FROM script").await, 0);
    let foreign = harness.send(signed("GET", "/v2/project-2/scripts", "", NOW, "")).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
}
