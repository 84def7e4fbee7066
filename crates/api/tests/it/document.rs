//! The served OpenAPI document and its committed copy.

use std::{fs, path::PathBuf};

use axum::body::to_bytes;
use tower::ServiceExt as _;

use crate::harness::{Harness, request_with};

#[tokio::test]
async fn the_committed_document_is_what_is_served() {
    let harness = Harness::new().await;
    let served = harness.send(request_with("/openapi.json", None)).await;
    assert_eq!(served.status, 200);
    assert!(served.body["openapi"].as_str().unwrap().starts_with("3.1"), "{}", served.body["openapi"]);
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    assert!(
        served.body == committed,
        "docs/openapi.json is stale: run `cargo run --bin graywave openapi > docs/openapi.json`"
    );
}

/// Of two schemas with the same name, the document would silently hold one.
#[test]
fn each_schema_name_is_declared_once() {
    let mut names = Vec::new();
    let mut directories = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            for declaration in text.split("ToSchema)]").skip(1) {
                let words: Vec<&str> = declaration.split_whitespace().take(60).collect();
                let keyword = words.iter().position(|word| ["struct", "enum"].contains(word));
                names.extend(
                    keyword.and_then(|keyword| words.get(keyword + 1)).map(|name| (*name).to_owned()),
                );
            }
        }
    }
    assert!(names.len() > 50, "{names:?}");
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[tokio::test]
async fn every_operation_documents_its_failures_and_its_request_id() {
    let harness = Harness::new().await;
    let document = harness.send(request_with("/openapi.json", None)).await.body;
    for (id, method, path) in harness.operations().await {
        let operation = &document["paths"][&path][method.as_str().to_lowercase()];
        let responses = operation["responses"].as_object().unwrap();
        for status in ["400", "401", "403", "404", "405", "409", "413", "429", "500", "503"] {
            assert!(responses.contains_key(status), "{id} {status}");
        }
        let good = responses.iter().find(|(status, _)| status.starts_with('2')).unwrap().1;
        assert!(good["headers"]["X-Request-Id"].is_object(), "{id}");
        assert!(operation["summary"].is_string(), "{id} has no summary");
    }
}

#[tokio::test]
async fn reference_of_errors_is_served_without_a_credential() {
    let harness = Harness::new().await;
    let response = harness.router.clone().oneshot(request_with("/docs/errors.md", None)).await.unwrap();
    assert_eq!(response.status(), 200);
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(bytes, domain::error::reference());
}
