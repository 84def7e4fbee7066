//! Executions by real processes: local desktops with agents and runners, against the machine's own
//! rate of starting processes in the same run.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::{Value, json};
use testkit::{Rest, graywave};

/// A step that takes longer has gone wrong.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Number of threads that start processes for the yardstick.
const THREADS: u32 = 2;

/// Rates of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Processes {
    pub(crate) desktops: u32,
    /// Tasks of one command, `true`, from POST to the end.
    pub(crate) executions_per_second: f64,
    /// `/bin/sh -c true` started and waited for, by two threads.
    pub(crate) fork_exec_per_second: f64,
    pub(crate) ratio_to_fork_exec: f64,
}

/// A `graywave dev` cluster. Dropping this stops it.
struct Dev {
    process: Child,
    client: Rest,
}

/// Runs `true` once on each of the local desktops, after a round that warms everything up.
pub(crate) fn measure(desktops: u32) -> anyhow::Result<Processes> {
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let dev = Dev::start(directory.path(), desktops)?;
    dev.execute(desktops)?;
    let fork_exec_before = fork_exec_per_second(desktops)?;
    let begun = Instant::now();
    dev.execute(desktops)?;
    let executions_per_second = f64::from(desktops) / begun.elapsed().as_secs_f64();
    let fork_exec_per_second = f64::midpoint(fork_exec_before, fork_exec_per_second(desktops)?);
    Ok(Processes {
        desktops,
        executions_per_second,
        fork_exec_per_second,
        ratio_to_fork_exec: executions_per_second / fork_exec_per_second,
    })
}

fn fork_exec_per_second(number: u32) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            thread::spawn(move || -> anyhow::Result<()> {
                for _ in 0..number / THREADS {
                    let status =
                        Command::new("/bin/sh").args(["-c", "true"]).stdin(Stdio::null()).status()?;
                    anyhow::ensure!(status.success(), "sh failed: {status}");
                }
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().ok().context("a thread panicked")??;
    }
    Ok(f64::from(number) / begun.elapsed().as_secs_f64())
}

impl Dev {
    fn start(directory: &std::path::Path, desktops: u32) -> anyhow::Result<Self> {
        let mut command = graywave()?;
        command
            .args(["dev", "--output", "json", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
            .args(["--agents", "127.0.0.1:0", "--desktops", &desktops.to_string(), "--data-dir"])
            .arg(directory.join("dev"))
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = process.stdout.take().context("no output")?;
        let ready = BufReader::new(output).lines().map_while(Result::ok).find_map(|line| {
            let ready: Value = serde_json::from_str(&line).ok()?;
            (ready["event"] == "ready").then_some(ready)
        });
        let ready = ready.context("graywave dev did not become ready")?;
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        let http = text("http");
        let http = if http.starts_with("http") { http } else { format!("http://{http}") };
        let client = Rest::with_timeout(&http, &text("project_id"), &text("token"), TIMEOUT);
        Ok(Self { process, client })
    }

    /// Runs `true` on all desktops to its end.
    fn execute(&self, desktops: u32) -> anyhow::Result<()> {
        let ids: Vec<String> = (1..=desktops).map(|number| format!("desktop-{number:04}")).collect();
        let body = json!({"resource_ids": ids, "command": "true", "command_type": "SHELL"});
        let answer = self.client.post("/script-executions", &body)?;
        let task_id = answer["task_id"].as_str().context("no task_id")?;
        let path = format!("/script-execution-tasks?task_id={task_id}");
        let begun = Instant::now();
        loop {
            let task = self.client.get(&path)?["script_tasks"][0].take();
            if !task["end_time"].is_null() {
                anyhow::ensure!(task["success_num"] == desktops, "not every desktop succeeded: {task}");
                return Ok(());
            }
            if begun.elapsed() > TIMEOUT {
                bail!("the task has not ended within {TIMEOUT:?}: {task}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) {
            kill_process(pid, Signal::TERM).ok();
        }
        self.process.wait().ok();
    }
}
