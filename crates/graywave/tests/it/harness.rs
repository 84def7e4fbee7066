//! Processes under test, their output, and a REST client.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{DevCluster, Rest};
use ureq::http::Method;

/// Maximum wait for an event. A refused agent retries after 30 s, and CI machines may be slow.
const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn graywave() -> Command {
    testkit::graywave().unwrap()
}

/// Returns the path of the agent binary, next to the binary under test.
pub(crate) fn agent_binary() -> PathBuf {
    testkit::binary("graywave-agent").unwrap()
}

/// Creates a directory that the user of the private Postgres can enter.
pub(crate) fn directory() -> tempfile::TempDir {
    testkit::directory("graywave-test-").unwrap()
}

/// Child process that ends with its test.
pub(crate) struct Process(pub(crate) testkit::Process);

impl Process {
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Self {
        Self(testkit::Process::start(command, log).unwrap())
    }

    /// Sends SIGTERM and waits for the exit.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.0.stop().unwrap()
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
    }
}

/// Polls `look` until it returns a value.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < TIMEOUT, "timed out while waiting for {what}");
        // Leaves the processor to the processes under test between two polls.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// REST client of a project. Its calls must be answered.
pub(crate) struct Api {
    pub(crate) token: String,
    rest: Rest,
}

impl Api {
    pub(crate) fn new(http: &str, project_id: &str, token: &str) -> Self {
        Self { rest: Rest::new(http, project_id, token), token: token.to_owned() }
    }

    /// Returns `None` if the server does not answer.
    pub(crate) fn try_get(&self, path: &str) -> Option<(u16, Value)> {
        let answer = self.rest.call(Method::GET, path, &[], None).ok()?;
        Some((answer.status, answer.json().ok()?))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.rest.get(path).unwrap()
    }

    /// Returns the status and the header `Retry-After`; `None` if the server does not answer.
    pub(crate) fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Option<String>)> {
        let answer = self.rest.call(Method::POST, path, &[], Some(body)).ok()?;
        Some((answer.status, answer.retry_after))
    }

    /// Returns the same client with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { rest: self.rest.with_token(token), token: token.to_owned() }
    }

    /// Sends a POST with additional headers and returns its response.
    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let answer = self.rest.call(Method::POST, path, headers, Some(body)).unwrap();
        (answer.status, answer.json().unwrap_or_default())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.rest.post(path, body).unwrap()
    }

    /// Returns a client of the native family of the same project.
    pub(crate) fn native(&self) -> Self {
        Self { rest: self.rest.native(), token: self.token.clone() }
    }

    /// Sends a DELETE, which must succeed.
    pub(crate) fn delete(&self, path: &str) {
        self.rest.delete(path).unwrap();
    }

    /// Sends a PUT, which must succeed.
    pub(crate) fn put(&self, path: &str, body: &Value) {
        self.rest.put(path, body).unwrap();
    }

    /// Returns a text response up to its end.
    pub(crate) fn text(&self, path: &str) -> String {
        self.rest.call(Method::GET, path, &[], None).unwrap().text
    }

    /// Runs a shell command on desktops and returns the task's id.
    pub(crate) fn run(&self, command: &str, desktops: &[String], more: Value) -> String {
        let mut body = json!({"resource_ids": desktops, "command": command, "command_type": "SHELL"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.post("/script-executions", &body)["task_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn task(&self, task_id: &str) -> Value {
        self.get(&format!("/script-execution-tasks?task_id={task_id}"))["script_tasks"][0].clone()
    }

    /// Waits until the task ends and returns it.
    pub(crate) fn ended(&self, task_id: &str) -> Value {
        wait_for("the task's end", || {
            let task = self.task(task_id);
            (!task["end_time"].is_null()).then_some(task)
        })
    }

    pub(crate) fn records(&self, task_id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/script-execution-records?script_task_id={task_id}&limit=100"));
        answer["script_records"].as_array().unwrap().clone()
    }

    pub(crate) fn output(&self, record: &Value) -> Value {
        self.get(&format!("/script-execution-records/{}", record["id"].as_str().unwrap()))
    }

    pub(crate) fn connected(&self, number: u64) -> Vec<String> {
        wait_for("the desktops", || {
            let (status, answer) = self.try_get("/desktops?status=ACTIVE")?;
            (status == 200 && answer["total_count"].as_u64()? == number).then(|| {
                let desktops = answer["desktops"].as_array().unwrap();
                desktops.iter().map(|desktop| desktop["desktop_id"].as_str().unwrap().to_owned()).collect()
            })
        })
    }
}

/// `graywave dev` with its ready line.
pub(crate) struct Dev {
    pub(crate) process: Process,
    pub(crate) ready: Value,
    pub(crate) api: Api,
}

impl Dev {
    pub(crate) fn start(data_dir: &Path, desktops: u32, settings: &[(&str, &str)]) -> Self {
        let cluster = DevCluster::start(data_dir, desktops, settings).unwrap();
        let ready: Value = serde_json::from_str(&cluster.ready_line).unwrap();
        let process = Process(cluster.process);
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        let api = Api::new(&text("http"), &text("project_id"), &text("token"));
        Self { process, ready, api }
    }
}
