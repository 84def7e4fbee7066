//! The REST API of a project, as a client sees it.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use ureq::http::{Method, Request, Response};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one project's API. Paths are those below `/v2/{project_id}`, or of the native family after [`Rest::native`].
#[derive(Debug, Clone)]
pub struct Rest {
    agent: ureq::Agent,
    base: String,
    token: String,
}

/// The answer to a call, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code of HTTP.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; `null` if there is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        Ok(if self.text.is_empty() { Value::Null } else { serde_json::from_str(&self.text)? })
    }

    /// Whether the call succeeded.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Rest {
    /// A client for a server like `http://127.0.0.1:8080`. Each call may take 30 seconds.
    pub fn new(http: &str, project_id: &str, token: &str) -> Self {
        Self::with_timeout(http, project_id, token, TIMEOUT)
    }

    /// A client whose calls may take this long.
    pub fn with_timeout(http: &str, project_id: &str, token: &str, timeout: Duration) -> Self {
        let config = ureq::Agent::config_builder();
        let agent = config.timeout_global(Some(timeout)).http_status_as_error(false).build().new_agent();
        Self { agent, base: format!("{http}/v2/{project_id}"), token: token.to_owned() }
    }

    /// The same project in the native family.
    #[must_use]
    pub fn native(&self) -> Self {
        let base = self.base.replacen("/v2/", "/v1/projects/", 1);
        Self { base, ..self.clone() }
    }

    /// The same API with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Makes a call.
    ///
    /// # Errors
    ///
    /// When there is no answer.
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

    /// Reads something; an error unless it is there.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.done(Method::GET, path, None)
    }

    /// Changes something; an error unless it is done.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.done(Method::POST, path, Some(body))
    }

    /// Sets something; an error unless it is done.
    pub fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.done(Method::PUT, path, Some(body))
    }

    /// Removes something; an error unless it is done.
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
