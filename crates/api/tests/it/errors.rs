//! Rules that all calls share: credentials, refusals and the form of errors.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use serde_json::json;

use crate::harness::{Harness, TOKEN, request_with};

#[tokio::test]
async fn missing_token_or_foreign_project_is_refused() {
    let harness = Harness::new().await;
    for (token, project, status, code) in [
        (None, "project-1", 401, "WKS.00211302"),
        (Some("a-token-that-is-not-known"), "project-1", 401, "WKS.00211302"),
        (Some(TOKEN), "project-2", 403, "WKS.00081102"),
        (Some(TOKEN), "project-3", 403, "WKS.00081102"),
    ] {
        for path in ["scripts", "script-execution-tasks", "script-execution-records", "desktops"] {
            let answer = harness.send(request_with(&format!("/v2/{project}/{path}"), token)).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
            assert_eq!(answer.body["error_code"], code, "{path}");
            assert!(answer.headers.contains_key("x-request-id"));
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_the_same_form() {
    let harness = Harness::new().await;
    let nowhere = harness.send(request_with("/v3/nothing", None)).await;
    assert_eq!(
        (nowhere.status, &nowhere.body["error_code"]),
        (StatusCode::NOT_FOUND, &json!("WKS.00211902"))
    );
    assert!(nowhere.headers.contains_key("x-request-id"));
    let (status, message) = harness.refusal(Method::GET, "/nothing", None).await;
    assert_eq!(status, 404, "{message}");
    let answer = harness.call(Method::PATCH, "/scripts", None).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.body["error_code"], "WKS.00000405");
}

/// Clients may send any method; a method must not create a metric series of its own.
#[tokio::test]
async fn unknown_methods_and_paths_make_no_series() {
    let exposition = telemetry::metric::install(None).unwrap();
    let harness = Harness::new().await;
    for (method, path) in
        [("BREW", "/v2/project-1/scripts"), ("GET", "/v2/project-1/brew"), ("BREW", "/brew")]
    {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert!(harness.send(request).await.status.is_client_error(), "{method} {path}");
    }
    harness.send(request_with("/v2/project-1/scripts/brew", None)).await;
    let text = exposition.render();
    assert!(text.contains("graywave_http_requests_total{method=\"GET\""), "{text}");
    assert!(!text.to_lowercase().contains("brew"), "{text}");
}

#[tokio::test]
async fn a_request_id_that_is_given_comes_back() {
    let harness = Harness::new().await;
    let mut request = request_with("/v2/project-1/scripts", Some(TOKEN));
    request.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    assert_eq!(harness.send(request).await.headers["x-request-id"], "mine");
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused_in_words() {
    let harness = Harness::new().await;
    let request =
        |body: Body| Request::post("/v2/project-1/scripts").header("X-Auth-Token", TOKEN).body(body).unwrap();
    for (body, word) in [
        ("", "the body is empty"),
        ("{", "not valid"),
        ("{} {}", "not valid"),
        ("\u{feff}", "the body is empty"),
    ] {
        let answer = harness.send(request(Body::from(body))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:?}");
        assert!(answer.body["error_msg"].as_str().unwrap().contains(word), "{body:?}: {}", answer.body);
    }
    let answer = harness.send(request(Body::from(vec![b' '; 3 << 20]))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.body["error_code"], "WKS.00211102");
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn an_execution_of_a_large_fleet_fits_into_its_body() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    // As many bytes as 100,000 UUIDs; all desktops except one are unknown.
    let ids: Vec<String> = (0..100_000).map(|number| format!("desktop-{number:029}")).collect();
    let body = json!({"resource_ids": ids, "command": "true", "command_type": "SHELL"});
    let (status, message) = harness.refusal(Method::POST, "/script-executions", Some(&body)).await;
    assert_eq!(status, 404);
    assert!(message.contains("and 99990 more"), "{message}");
}

#[tokio::test]
async fn a_database_that_is_away_is_a_503_that_says_when_to_try_again() {
    let harness = Harness::new().await;
    harness.database.store.close().await;
    let answer = harness.call(Method::GET, "/scripts", None).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body["error_code"], "WKS.00050902");
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_path_that_is_no_text_is_answered_in_the_same_form() {
    let harness = Harness::new().await;
    for path in ["/v2/project-1/scripts/%FF", "/v2/%FF/scripts", "/v1/projects/project-1/tasks/%C3%28"] {
        let answer = harness.send(request_with(path, Some(TOKEN))).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error_code"]),
            (400, &json!("WKS.00211102")),
            "{path}"
        );
    }
    for path in ["/v2/project-1/scripts/%00", "/v2/project-1/script-execution-records/%00"] {
        assert_eq!(
            harness.send(request_with(path, Some(TOKEN))).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_body_is_an_object() {
    let harness = Harness::new().await;
    for body in [json!([]), json!(["a", "SHELL", "true"]), json!("text"), json!(null), json!(7)] {
        let refused = harness.refusal(Method::POST, "/scripts", Some(&body)).await;
        assert_eq!(refused.0, 400, "{body}: {}", refused.1);
    }
}

#[tokio::test]
async fn body_with_a_byte_order_mark_is_read() {
    let harness = Harness::new().await;
    harness.create_project().await.unwrap();
    let admin = harness.token("alice", &["admin"]).await;
    let policy = json!({"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["workspace:scripts:*"],
                        "Resource": ["*"]}]});
    for (method, path, body) in [
        (Method::POST, "/v2/project-1/scripts", json!({"name": "s", "type": "SHELL", "content": "true"})),
        (
            Method::POST,
            "/v1/projects/project-1/scripts",
            json!({"name": "s", "script_type": "SHELL", "content": "true"}),
        ),
        (Method::POST, "/v1/projects/project-1/freeze", json!({"reason": "a test"})),
        (Method::PUT, "/v1/projects/project-1/access/policies/ours", policy),
    ] {
        let send = |body: Vec<u8>| {
            let request = Request::builder().method(method.clone()).uri(path).header("X-Auth-Token", &admin);
            harness.send(request.body(Body::from(body)).unwrap())
        };
        let marked = send(format!("\u{feff}{body}").into_bytes()).await;
        assert!(marked.status.is_success(), "{path}: {}", marked.body);
        let wide = std::iter::once(0xfeff).chain(body.to_string().encode_utf16().collect::<Vec<_>>());
        let refused = send(wide.flat_map(u16::to_le_bytes).collect()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(refused.body["error_msg"].as_str().unwrap().contains("UTF-16"), "{path}: {}", refused.body);
    }
}
