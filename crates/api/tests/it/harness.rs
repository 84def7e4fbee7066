//! The API over a database per test, with a fixed clock and sequential ids.

use std::{ops::Deref, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use control::{AccessKey, Actor, Credentials, NewKey, Token};
use domain::{Timestamp, ids::WorkerId};
use serde_json::{Value, json};
use testkit::TestEnvironment;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) const TOKEN: &str = "a-token-of-project-1";
pub(crate) const ACCESS_KEY: &str = "AK0123456789";
pub(crate) const SECRET_KEY: &str = "a-secret-key-of-project-1";
pub(crate) const OTHER_TOKEN: &str = "a-token-of-project-2";

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

pub(crate) struct Harness {
    environment: TestEnvironment,
    pub(crate) router: Router,
}

impl Deref for Harness {
    type Target = TestEnvironment;

    fn deref(&self) -> &TestEnvironment {
        &self.environment
    }
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: fn(api::Options) -> api::Options) -> Self {
        let tokens = vec![
            Token::new("project-1".parse().unwrap(), TOKEN).unwrap(),
            Token::new("project-2".parse().unwrap(), OTHER_TOKEN).unwrap(),
        ];
        let keys = vec![AccessKey::new("project-1".parse().unwrap(), ACCESS_KEY, SECRET_KEY).unwrap()];
        let environment = TestEnvironment::new(Credentials::new(tokens, keys)).await.unwrap();
        // Event streams of the project end at once, so that a test can call every operation.
        let stop = CancellationToken::new();
        stop.cancel();
        let options =
            api::Options { request_timeout: Duration::from_secs(20), stop, ..api::Options::default() };
        let options = change(options);
        Self { router: api::router(environment.control.clone(), &options), environment }
    }

    /// Creates a token of a principal of project-1 with these policies: names of ready policies or
    /// `name=document`.
    pub(crate) async fn token(&self, principal: &str, policies: &[&str]) -> String {
        self.environment.token(principal, policies).await.unwrap()
    }

    /// Creates an access key of a principal of project-1 with all rights.
    pub(crate) async fn key(&self, principal: &str) -> NewKey {
        self.token(principal, &["admin"]).await;
        let project_id = "project-1".parse().unwrap();
        self.control.create_key(Actor::Database(&project_id), principal, None).await.unwrap()
    }

    /// Sends a request to a full path with a token.
    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("X-Auth-Token", token)
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .unwrap();
        self.send(request).await
    }

    pub(crate) fn worker() -> WorkerId {
        TestEnvironment::worker()
    }

    pub(crate) fn now() -> Timestamp {
        TestEnvironment::now()
    }

    /// Connects desktops `desktop-0` and so on through a worker.
    pub(crate) async fn desktops(&self, number: u32) {
        self.connect((0..number).map(testkit::desktop)).await.unwrap();
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let is_json = parts.headers.get("content-type").is_some_and(|kind| kind == "application/json");
        let body = if is_json { serde_json::from_slice(&bytes).unwrap() } else { Value::Null };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Lists the operations of the document: id, method, and path with its parameters.
    pub(crate) async fn operations(&self) -> Vec<(String, Method, String)> {
        let document = self.send(request_with("/openapi.json", None)).await.body;
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
                let Some(id) = operation["operationId"].as_str() else { continue };
                found.push((id.to_owned(), method, path.clone()));
            }
        }
        assert!(found.len() > 20, "{}", found.len());
        found
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v2/project-1{path}"))
            .header("X-Auth-Token", TOKEN)
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .unwrap();
        let answer = self.send(request).await;
        assert!(answer.headers.contains_key("x-request-id"), "every response has a request id");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn create_script(&self, name: &str, content: &str) -> String {
        let answer = self.post("/scripts", &json!({"name": name, "type": "SHELL", "content": content})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["script_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn execute(&self, body: &Value) -> String {
        let answer = self.post("/script-executions", body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["task_id"].as_str().unwrap().to_owned()
    }

    /// Status and message of the error that a request is refused with.
    pub(crate) async fn refusal(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, String) {
        let answer = self.call(method, path, body).await;
        let error_code = answer.body["error_code"].as_str().unwrap_or_default();
        assert!(error_code.starts_with("WKS.") && error_code.len() == 12, "{}", answer.body);
        (answer.status.as_u16(), answer.body["error_msg"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        self.scalar(statement).await.unwrap()
    }
}

/// Ids `desktop-0` to `desktop-(number - 1)`.
pub(crate) fn ids(number: u32) -> Vec<String> {
    (0..number).map(|number| format!("desktop-{number}")).collect()
}

/// A request for another project, or without a credential.
pub(crate) fn request_with(path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(token) = token {
        request = request.header("X-Auth-Token", token);
    }
    request.body(Body::empty()).unwrap()
}
