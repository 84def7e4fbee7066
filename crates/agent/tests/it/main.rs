//! A whole agent against a worker in the same process.

#![expect(clippy::unwrap_used, reason = "test helpers panic on failure")]

mod fake_worker;
mod powershell;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{path::Path, time::Duration};

use agent::{Config, RunnerProgram};
use fake_worker::{FakeWorker, soon};
use proto::{
    agent::{ExecutionKey, Order},
    types::Script,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Type of the scripts that every machine of this system runs.
const SCRIPT_TYPE: &str = if cfg!(windows) { "BAT" } else { "SHELL" };

struct Agent {
    running: JoinHandle<Result<(), agent::Error>>,
    stop: CancellationToken,
}

fn start(worker: &FakeWorker, data_dir: &Path) -> Agent {
    start_with(worker, data_dir, |_| {})
}

fn start_with(worker: &FakeWorker, data_dir: &Path, change: impl FnOnce(&mut Config)) -> Agent {
    let desktop = agent::this_machine("p1".to_owned(), "d1".to_owned());
    // No worker listens at the first URL: the agent dials the next one.
    let urls = vec!["http://127.0.0.1:1".to_owned(), worker.url.clone()];
    let mut config = Config::new(urls, desktop, data_dir.to_owned(), runner());
    config.reconnect_min = Duration::from_millis(1);
    config.reconnect_max = Duration::from_millis(5);
    change(&mut config);
    let stop = CancellationToken::new();
    Agent { running: tokio::spawn(agent::run(config, stop.clone())), stop }
}

fn runner() -> RunnerProgram {
    RunnerProgram::contained(Path::new(env!("CARGO_BIN_EXE_graywave-agent")))
}

impl Agent {
    async fn stop(self) {
        self.stop.cancel();
        soon(self.running).await.unwrap().unwrap();
    }
}

fn key(name: &str) -> ExecutionKey {
    // The mark of an execution must be unique on this machine.
    ExecutionKey { task_id: format!("{name}-{}", std::process::id()), ordinal: 4, attempt: 1 }
}

fn order(name: &str, scripts: &[&str]) -> Order {
    let script = |content: &&str| Script {
        script_id: String::new(),
        script_type: SCRIPT_TYPE.to_owned(),
        content: (*content).to_owned(),
    };
    Order {
        key: Some(key(name)),
        wave: 1,
        scripts: scripts.iter().map(script).collect(),
        execution_timeout_ms: 30_000,
        ..Order::default()
    }
}
