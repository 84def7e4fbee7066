//! Calls of the REST API of the cluster under test.

use std::time::Duration;

use serde_json::Value;
use testkit::{Answer, Rest};
use ureq::http::Method;

pub(crate) const PROJECT: &str = "chaos";
pub(crate) const TOKEN: &str = "a-token-for-the-faults";
const TIMEOUT: Duration = Duration::from_secs(5);

/// Paths begin with `/v1/` for the whole path of the native family; others are below the project of
/// the compatible one.
async fn call(
    url: &str,
    method: Method,
    path: &str,
    key: Option<String>,
    body: Option<Value>,
) -> anyhow::Result<(u16, Value)> {
    let rest = Rest::with_timeout(url, PROJECT, TOKEN, TIMEOUT);
    let path = path.to_owned();
    let answer = tokio::task::spawn_blocking(move || -> anyhow::Result<Answer> {
        let headers: Vec<_> = key.iter().map(|key| ("Idempotency-Key", key.as_str())).collect();
        let native = format!("/v1/projects/{PROJECT}");
        match path.strip_prefix(&native) {
            Some(path) => rest.native().call(method, path, &headers, body.as_ref()),
            None => rest.call(method, &path, &headers, body.as_ref()),
        }
    });
    let answer = answer.await??;
    Ok((answer.status, answer.json()?))
}

/// A change under an idempotency key; an error when nobody answers.
pub(crate) async fn post(url: &str, path: &str, body: Value, key: String) -> anyhow::Result<(u16, Value)> {
    call(url, Method::POST, path, Some(key), Some(body)).await
}

/// One call; an error when nobody answers.
pub(crate) async fn get(url: &str, path: &str) -> anyhow::Result<(u16, Value)> {
    call(url, Method::GET, path, None, None).await
}
