//! Processes of ours, their output, and the REST API as a client sees it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Whatever is waited for comes within this time, or the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn graywave() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graywave"));
    // All roles of a test share a machine.
    command.env("GRAYWAVE__TELEMETRY__LISTEN", "127.0.0.1:0");
    command
}

/// The agent's binary, which cargo puts beside ours.
pub(crate) fn agent_binary() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_graywave")).with_file_name("graywave-agent");
    assert!(path.exists(), "build it first: cargo build --workspace --bins");
    path
}

/// A directory that the private Postgres's user can come to.
pub(crate) fn directory() -> tempfile::TempDir {
    let open = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("graywave-test-").permissions(open).tempdir().unwrap()
}

/// A child that does not outlive its test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        Self(command.stderr(log).stdin(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.0.wait().unwrap()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            drop(self.0.wait());
        }
    }
}

/// Looks until there is something to see.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        // Lets the processes under test have the machine between two looks.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A project's REST API.
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) token: String,
    agent: ureq::Agent,
}

impl Api {
    pub(crate) fn new(http: &str, project_id: &str, token: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self { base: format!("{http}/v2/{project_id}"), token: token.to_owned(), agent }
    }

    /// `None` while nobody answers.
    pub(crate) fn try_get(&self, path: &str) -> Option<(u16, Value)> {
        let request = self.agent.get(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        let mut response = request.call().ok()?;
        Some((response.status().as_u16(), response.body_mut().read_json().ok()?))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_get(path).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What a call is answered: its status, and what `Retry-After` says. `None` when nobody answers.
    pub(crate) fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Option<String>)> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        let mut response = request.send_json(body).ok()?;
        let after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        response.body_mut().read_to_string().ok()?;
        Some((response.status().as_u16(), after))
    }

    /// The same API with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { base: self.base.clone(), token: token.to_owned(), agent: self.agent.clone() }
    }

    /// A change with more headers; its answer.
    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send_json(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_json().unwrap_or_default())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        let mut response = request.send_json(body).unwrap();
        let status = response.status();
        let text = response.body_mut().read_to_string().unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        assert!(status.is_success(), "{path}: {status}: {body}");
        body
    }

    /// The same project in the native family.
    pub(crate) fn native(&self) -> Self {
        let base = self.base.replacen("/v2/", "/v1/projects/", 1);
        Self { base, token: self.token.clone(), agent: self.agent.clone() }
    }

    /// A call without a body that changes something.
    pub(crate) fn delete(&self, path: &str) {
        let request = self.agent.delete(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        assert!(request.call().unwrap().status().is_success(), "{path}");
    }

    /// Sets something.
    pub(crate) fn put(&self, path: &str, body: &Value) {
        let request = self.agent.put(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        let mut response = request.send_json(body).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        assert!(response.status().is_success(), "{path}: {text}");
    }

    /// What a call answers in text, to its end.
    pub(crate) fn text(&self, path: &str) -> String {
        let request = self.agent.get(format!("{}{path}", self.base)).header("X-Auth-Token", &self.token);
        request.call().unwrap().body_mut().read_to_string().unwrap()
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

    /// The task when it has ended.
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
        let mut command = graywave();
        command
            .args(["dev", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--agents", "127.0.0.1:0"])
            .args(["--desktops", &desktops.to_string(), "--data-dir"])
            .arg(data_dir)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped());
        let log = data_dir.with_extension("log");
        let mut process = Process::spawn(&mut command, &log);
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            panic!("no ready line: {line:?}\n{}", std::fs::read_to_string(&log).unwrap())
        });
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        let api = Api::new(&text("http"), &text("project_id"), &text("token"));
        Self { process, ready, api }
    }
}
