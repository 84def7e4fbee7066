//! Calls of the REST API of the cluster under test.

use std::time::Duration;

use serde_json::Value;

pub(crate) const PROJECT: &str = "chaos";
pub(crate) const TOKEN: &str = "a-token-for-the-faults";

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    config.timeout_global(Some(Duration::from_secs(5))).http_status_as_error(false).build().new_agent()
}

fn full(url: &str, path: &str) -> String {
    if path.starts_with("/v1/") { format!("{url}{path}") } else { format!("{url}/v2/{PROJECT}{path}") }
}

pub(crate) async fn post(url: &str, path: &str, body: Value, key: String) -> anyhow::Result<(u16, Value)> {
    let url = full(url, path);
    tokio::task::spawn_blocking(move || {
        let request = agent().post(url).header("X-Auth-Token", TOKEN).header("Idempotency-Key", key);
        let mut response = request.send_json(body)?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string()?;
        Ok((status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? }))
    })
    .await?
}

/// One call; an error when nobody answers.
pub(crate) async fn get(url: &str, path: &str) -> anyhow::Result<(u16, Value)> {
    let url = full(url, path);
    tokio::task::spawn_blocking(move || {
        let mut response = agent().get(url).header("X-Auth-Token", TOKEN).call()?;
        Ok((response.status().as_u16(), response.body_mut().read_json()?))
    })
    .await?
}
