//! Client of a project's REST API.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use ureq::http::{Method, Request, Response};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Client of one project's API. Paths are relative to `/v2/{project_id}`, or to the native family
/// after [`Rest::native`].
#[derive(Debug, Clone)]
pub struct Rest {
    agent: ureq::Agent,
    base: String,
    token: String,
}

/// Response to a request, with any status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Value of the header `Retry-After`; `None` if absent.
    pub retry_after: Option<String>,
    /// Body as text.
    pub text: String,
}

impl Answer {
    /// Body as JSON; `null` if empty. Fails if the body is not valid JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        Ok(if self.text.is_empty() { Value::Null } else { serde_json::from_str(&self.text)? })
    }

    /// Whether the status is a success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Rest {
    /// Creates a client of a server such as `http://127.0.0.1:8080`, with a timeout of 30 seconds.
    pub fn new(http: &str, project_id: &str, token: &str) -> Self {
        Self::with_timeout(http, project_id, token, TIMEOUT)
    }

    /// Creates a client with a timeout per request.
    pub fn with_timeout(http: &str, project_id: &str, token: &str, timeout: Duration) -> Self {
        let config = ureq::Agent::config_builder();
        let agent = config.timeout_global(Some(timeout)).http_status_as_error(false).build().new_agent();
        Self { agent, base: format!("{http}/v2/{project_id}"), token: token.to_owned() }
    }

    /// Returns a client of the native family of the same project.
    #[must_use]
    pub fn native(&self) -> Self {
        let base = self.base.replacen("/v2/", "/v1/projects/", 1);
        Self { base, ..self.clone() }
    }

    /// Returns a client with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a request.
    ///
    /// # Errors
    ///
    /// If no response arrives within the timeout.
    pub fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request =
            Request::builder().method(method).uri(self.url(path)).header("X-Auth-Token", &self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json").body(body.to_string())?;
                self.agent.run(request)?
            }
            None => self.agent.run(request.body(())?)?,
        };
        answer(response)
    }

    /// Sends a GET; fails unless the status is a success.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.done(Method::GET, path, None)
    }

    /// Sends a POST; fails unless the status is a success.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.done(Method::POST, path, Some(body))
    }

    /// Sends a PUT; fails unless the status is a success.
    pub fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.done(Method::PUT, path, Some(body))
    }

    /// Sends a DELETE; fails unless the status is a success.
    pub fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.done(Method::DELETE, path, None)
    }

    fn done(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let answer = self.call(method, path, &[], body)?;
        ensure!(answer.is_success(), "{path}: {}: {}", answer.status, answer.text);
        answer.json()
    }
}

fn answer(mut response: Response<ureq::Body>) -> anyhow::Result<Answer> {
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.map(str::to_owned);
    Ok(Answer {
        status: response.status().as_u16(),
        retry_after,
        text: response.body_mut().read_to_string()?,
    })
}
