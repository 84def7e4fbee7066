//! Mutated requests of REST, and mutated texts for the rules that parse them.

use std::num::NonZeroU32;

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, Uri},
};
use domain::{authz::Policy, period::Period, request_signing::Authorization};
use serde_json::json;

use crate::{
    harness::{Harness, TOKEN},
    signatures,
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn harness() -> Harness {
    let harness = Harness::with(|options| api::Options {
        rate_per_second: NonZeroU32::MAX,
        rate_burst: NonZeroU32::MAX,
        ..options
    });
    let harness = harness.await;
    harness.desktops(3).await;
    harness
}

/// Chooses an entry by the input, so that the seed determines the whole request.
fn choose<'a, T>(from: &'a [T], input: &[u8]) -> &'a T {
    let sum = input.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    from.get(sum % from.len()).unwrap()
}

/// Paths of the operations with these methods, with ids in place of their parameters.
async fn paths(harness: &Harness, with: fn(&Method) -> bool) -> Vec<(Method, String)> {
    let operations = harness.operations().await.into_iter().filter(|(_, method, _)| with(method));
    operations.map(|(_, method, path)| (method, filled(&path))).collect()
}

fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{project_id}" => "project-1",
        "{wave}" => "1",
        "{desktop_id}" => "desktop-1",
        "{principal}" | "{name}" => "ann",
        part if part.starts_with('{') => "0190f5fe7c0a70008000000000000001",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

fn bodies() -> Vec<Vec<u8>> {
    let rollout = json!({
        "waves": [{"count": 1}, {"percent": 10, "fail_threshold": {"percent": 2, "min_results": 50}}, {"rest": true}],
        "fail_threshold": {"count": 20}, "strict": true, "max_concurrency": 500, "soak_seconds": 600,
        "approval": {"before_waves": [2], "distinct_approver": true}, "on_halt": "drain",
        "delivery_timeout_seconds": 600, "quorum_percent": 95, "expires_at": "2027-12-01T00:00:00Z",
        "window": {"from": "22:00", "to": "05:00", "time_zone": "desktop"},
        "outcomes": {"UNDELIVERED": "ignore"}, "exit_codes": {"3010": "success", "42": "halt"},
        "canary": {"by": ["os", "pool", "zone"], "seed": 7, "prefer_connected": true}, "min_success_percent": 50,
    });
    let bodies = [
        json!({"resource_ids": ["desktop-0", "desktop-1"], "command": "true", "command_type": "SHELL",
            "gray_count": 1, "gray_fail_threshold": 1, "execution_timeout": 5}),
        json!({"resource_ids": ["desktop-0", "desktop-1"], "command": "true", "command_type": "BAT", "rollout": rollout}),
        json!({"name": "s", "type": "SHELL", "content": "true", "description": "d", "version": "1"}),
        json!({"task_id": "0190f5fe7c0a70008000000000000001", "record_id": "r", "mode": "kill", "reason": "r"}),
        json!({"policies": ["admin"], "document": {"Version": "5.0", "Statement": [{"Effect": "Allow",
            "Action": ["workspace:scripts:list"], "Resource": ["script:*"]}]}}),
        json!({"set": {"a": "b"}, "remove": ["c"], "expires_in_days": 3, "max_uses": 2, "principal": "ann"}),
    ];
    bodies.iter().map(|body| body.to_string().into_bytes()).collect()
}

#[test]
fn fuzz_rest_bodies() {
    let runtime = runtime();
    let harness = runtime.block_on(harness());
    let paths = runtime.block_on(paths(&harness, |method| method != Method::GET));
    testkit::fuzz("rest_bodies", &bodies(), |input| {
        let (method, path) = choose(&paths, input);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("X-Auth-Token", TOKEN)
            .header("Content-Type", "application/json")
            .body(Body::from(input.to_vec()))
            .unwrap();
        let answer = runtime.block_on(harness.send(request));
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}: {}", answer.body);
        if answer.status.is_client_error() {
            assert!(answer.body["error_code"].is_string(), "{method} {path}: {}", answer.body);
        }
    });
}

#[test]
fn fuzz_rest_queries() {
    let runtime = runtime();
    let harness = runtime.block_on(harness());
    let paths = runtime.block_on(paths(&harness, |method| method == Method::GET));
    let samples = [
        "limit=5&offset=1&name=a&type=SHELL",
        "status=FAILED&execute_time_start=2026-10-01T00:00:00Z&execute_time_end=2026-10-02T00:00:00%2B08:00",
        "page_size=10&page_token=abc",
        "resource_id=desktop-0&script_id=0190f5fe7c0a70008000000000000001&show_history=true&is_first_order=false",
        "desktop_id=desktop-1&task_type=COMMAND&wave=2",
    ];
    let samples: Vec<Vec<u8>> = samples.iter().map(|sample| sample.as_bytes().to_vec()).collect();
    testkit::fuzz("rest_queries", &samples, |input| {
        let (_, path) = choose(&paths, input);
        let Ok(uri) = Uri::try_from([path.as_bytes(), b"?", input].concat()) else { return };
        let request =
            Request::builder().uri(uri.clone()).header("X-Auth-Token", TOKEN).body(Body::empty()).unwrap();
        let answer = runtime.block_on(harness.send(request));
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{uri}: {}", answer.body);
    });
}

#[test]
fn fuzz_signatures() {
    let runtime = runtime();
    let harness = runtime.block_on(harness());
    let signed = || signatures::signed("GET", "/v2/project-1/scripts", "", signatures::NOW, "");
    let sample = signed().headers()["Authorization"].to_str().unwrap().to_owned();
    let (_, signature) = sample.rsplit_once('=').unwrap();
    testkit::fuzz("signatures", &[sample.clone().into_bytes()], |input| {
        if let Ok(text) = std::str::from_utf8(input) {
            drop(Authorization::parse(text));
        }
        let Ok(value) = HeaderValue::from_bytes(input) else { return };
        let mut request = signed();
        request.headers_mut().insert("Authorization", value);
        let answer = runtime.block_on(harness.send(request));
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.body);
        if answer.status == StatusCode::OK {
            let text = String::from_utf8_lossy(input);
            assert!(text.to_ascii_lowercase().contains(signature), "{text} was accepted");
        }
    });
}

#[test]
fn fuzz_rules() {
    testkit::fuzz("rules", &bodies(), |input| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        drop(Policy::parse(text));
        drop(Period::parse(("from", Some(text)), ("until", Some(text))));
        drop(domain::cursor::token::<u64>(Some(text)));
        drop(text.parse::<domain::ids::TaskId>());
        drop(text.parse::<domain::record::RecordId>());
    });
}
