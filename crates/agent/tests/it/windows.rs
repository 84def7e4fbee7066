//! Batch files on Windows.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use proto::{agent::Order, types::Script};

use crate::{
    fake_worker::{FakeWorker, soon},
    key, order, start,
};

/// Agent in a process of its own. Dropping this kills it, and nothing else.
struct AgentProcess(Child);

impl AgentProcess {
    fn start(worker: &FakeWorker, data_dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graywave-agent"));
        command.args(["--project", "p1", "--desktop-id", "d1", "--worker", &worker.url, "--data-dir"]);
        command.arg(data_dir).env("SECRET_OF_TEST", "x").stdin(Stdio::null());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs `graywave-agent` with a command; returns its success and standard output.
fn command(data_dir: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graywave-agent"));
    let output = command.args(arguments).arg("--data-dir").arg(data_dir).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(120), "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Batch file that begins, waits for the file `go` in a directory, and ends with a code.
fn waits(dir: &Path, code: i32) -> String {
    let dir = dir.display();
    format!(
        "@echo off\necho x>>{dir}\\starts\n:again\nif not exist {dir}\\go goto again\necho went on\nexit /b {code}"
    )
}

fn starts(dir: &Path) -> String {
    fs::read_to_string(dir.join("starts")).unwrap_or_default()
}

#[tokio::test]
async fn order_is_executed_and_answered_from_the_journal() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, &dir.path().join("data"));
    let mut session = worker.session().await;
    let desktop = session.desktop.clone();
    assert_eq!((desktop.os_type.as_str(), desktop.containment.as_str()), ("Windows", "JOB"));
    assert!(!desktop.os_host_name.is_empty() && desktop.os_version.contains("build "), "{desktop:?}");
    let starts = dir.path().join("starts");
    let content = format!("@echo x>>{}\n@echo %GRAYWAVE_WAVE% %GRAYWAVE_DESKTOP_ID%", starts.display());
    session.order(order("a", &[&content])).await;
    let first = session.result().await;
    let script = first.scripts.first().unwrap();
    assert_eq!((script.outcome.as_str(), script.output.as_str()), ("SUCCESS", "1 d1\r\n"), "{script:?}");
    assert!(script.interpreter.ends_with(r"\cmd.exe"), "{script:?}");
    session.order(order("a", &[&content])).await;
    assert_eq!(session.result().await, first);
    agent.stop().await;
    assert_eq!(fs::read_to_string(&starts).unwrap().trim_end(), "x");
}

#[tokio::test]
async fn other_types_are_rejected_and_codes_are_kept() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    let typed = |name: &str, script_type: &str, content: &str| {
        let script = Script {
            script_id: String::new(),
            script_type: script_type.to_owned(),
            content: content.to_owned(),
        };
        Order { scripts: vec![script], ..order(name, &[]) }
    };
    session.order(typed("shell", "SHELL", "true")).await;
    let shell = session.result().await.scripts.remove(0);
    assert_eq!(
        (shell.outcome.as_str(), shell.reason.as_str()),
        ("REJECTED", "SHELL scripts do not run on Windows")
    );
    for code in [3_010, 1_641, -1_073_741_510] {
        session.order(order(&format!("code{code}").replace('-', "m"), &[&format!("@exit /b {code}")])).await;
        let script = session.result().await.scripts.remove(0);
        assert_eq!((script.outcome.as_str(), script.exit_code), ("FAILED", Some(code)), "{script:?}");
    }
    // Wine has no users that are logged on.
    session.order(Order { run_as_user: "session".to_owned(), ..order("user", &["@echo 1"]) }).await;
    let user = session.result().await.scripts.remove(0);
    assert_eq!(user.outcome, "REJECTED");
    assert!(user.reason.starts_with("cannot run as "), "{}", user.reason);
    agent.stop().await;
}

#[tokio::test]
async fn environment_is_not_inherited_from_the_agent() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let _agent = AgentProcess::start(&worker, dir.path());
    let mut session = worker.session().await;
    session.order(order("env", &["@set"])).await;
    let output = session.result().await.scripts.remove(0).output.to_uppercase();
    let has = |name: &str| output.lines().any(|line| line.starts_with(&format!("{name}=")));
    assert!(
        !has("SECRET_OF_TEST") && has("GRAYWAVE_TASK_ID") && has("SYSTEMROOT") && has("PATH"),
        "{output}"
    );
}

#[tokio::test]
async fn script_outlives_an_agent_that_was_killed() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let data_dir = dir.path().join("data");
    let scripts = ["@exit /b 0", &waits(dir.path(), 0), "@exit /b 3"];
    let first = AgentProcess::start(&worker, &data_dir);
    let session = worker.session().await;
    session.order(order("killed", &scripts)).await;
    eventually("the script", || !starts(dir.path()).is_empty()).await;
    drop(first);
    drop(session);
    let _second = AgentProcess::start(&worker, &data_dir);
    let mut session = worker.session().await;
    // A repeated order starts nothing.
    session.order(order("killed", &scripts)).await;
    fs::write(dir.path().join("go"), "").unwrap();
    let result = session.result().await;
    let rows: Vec<_> = result
        .scripts
        .iter()
        .map(|script| (script.outcome.as_str(), script.output.as_str(), script.exit_code))
        .collect();
    assert_eq!(
        rows,
        [("SUCCESS", "", Some(0)), ("SUCCESS", "went on\r\n", Some(0)), ("FAILED", "", Some(3))]
    );
    assert_eq!(starts(dir.path()).trim_end(), "x");
}

#[tokio::test]
async fn stop_ends_a_script_of_an_earlier_agent() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let data_dir = dir.path().join("data");
    let first = AgentProcess::start(&worker, &data_dir);
    let session = worker.session().await;
    session.order(order("stopped", &[&waits(dir.path(), 0)])).await;
    eventually("the script", || !starts(dir.path()).is_empty()).await;
    drop(first);
    drop(session);
    let agent = start(&worker, &data_dir);
    let mut session = worker.session().await;
    session.stop(key("stopped"), 0).await;
    assert_eq!(session.result().await.scripts.remove(0).outcome, "STOPPED");
    agent.stop().await;
}

#[tokio::test]
async fn script_is_killed_at_its_timeout() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    let endless = Order { execution_timeout_ms: 2_000, ..order("endless", &["@:again\n@goto again"]) };
    session.order(endless).await;
    let script = session.result().await.scripts.remove(0);
    assert_eq!((script.outcome.as_str(), script.exit_code), ("TIMEOUT", None), "{script:?}");
    agent.stop().await;
}

#[tokio::test]
async fn output_is_read_while_the_script_runs() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, &dir.path().join("data"));
    let mut session = worker.session().await;
    let script = format!("@echo first\n{}", waits(dir.path(), 0));
    session.order(order("live", &[&script])).await;
    eventually("the script", || !starts(dir.path()).is_empty()).await;
    session.watch_output(key("live"), 0).await;
    let chunk = session.output().await;
    assert_eq!((chunk.offset, chunk.content.as_slice(), chunk.is_last), (0, &b"first\r\n"[..], false));
    session.watch_output(key("live"), 7).await;
    fs::write(dir.path().join("go"), "").unwrap();
    assert_eq!(soon(session.output_from(7)).await, b"went on\r\n");
    agent.stop().await;
}

#[tokio::test]
async fn local_commands_reach_the_agent() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let data_dir = dir.path().join("data");
    let mut agent = AgentProcess::start(&worker, &data_dir);
    let session = worker.session().await;
    session.order(order("local", &[&waits(dir.path(), 0)])).await;
    eventually("the script", || !starts(dir.path()).is_empty()).await;
    let of = data_dir.clone();
    let asked =
        tokio::task::spawn_blocking(move || (command(&of, &["healthcheck"]).0, command(&of, &["status"]).1));
    let (is_attached, status) = asked.await.unwrap();
    assert!(is_attached);
    assert!(status.starts_with("Attached to a worker: yes\nExecutions: 1\n"), "{status}");
    // It answers when the agent has ended.
    let (is_stopped, output) =
        tokio::task::spawn_blocking(move || command(&data_dir, &["stop", "--now"])).await.unwrap();
    assert!(is_stopped, "{output}");
    assert!(agent.0.wait().unwrap().success());
}

#[tokio::test]
async fn working_directory_is_removed_after_its_script() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    session.order(order("dir", &["@mkdir a\n@echo 1>a\\b\n@attrib +r a\\b\n@cd\n@dir /b"])).await;
    let script = session.result().await.scripts.remove(0);
    let lines: Vec<&str> = script.output.lines().collect();
    assert!(lines[0].contains(r"\scripts\run-"), "{script:?}");
    assert_eq!(lines[1..], ["a", "script.bat"], "{script:?}");
    session.ack(key("dir")).await;
    let is_empty = |name: &str| fs::read_dir(dir.path().join(name)).unwrap().next().is_none();
    eventually("the removal", || is_empty("scripts") && is_empty("runs")).await;
    agent.stop().await;
}
