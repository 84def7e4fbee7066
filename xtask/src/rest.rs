//! The REST API of a project, as a client sees it.

use std::time::Duration;

use anyhow::bail;
use serde_json::Value;

/// A project's `/v2` under some address.
#[derive(Debug)]
pub(crate) struct Rest {
    agent: ureq::Agent,
    base: String,
    token: String,
}

impl Rest {
    /// `http` is like `http://127.0.0.1:8080`.
    pub(crate) fn new(http: &str, project_id: &str, token: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self { agent, base: format!("{http}/v2/{project_id}"), token: token.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response =
            self.agent.get(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token).call()?;
        answer(path, response)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        answer(path, request.send_json(body)?)
    }
}

fn answer(path: &str, mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<Value> {
    let status = response.status();
    let body: Value = response.body_mut().read_json()?;
    if !status.is_success() {
        bail!("{path}: {status}: {body}");
    }
    Ok(body)
}
