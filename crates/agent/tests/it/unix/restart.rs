//! An agent under a service manager: it reports its state, and restarts when no order runs.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tokio::net::UnixDatagram;

use super::agent_process::{AgentHome, eventually};
use crate::{
    fake_worker::{FakeWorker, soon},
    key, order,
};

/// Socket of a service manager.
struct ServiceManager(UnixDatagram);

impl ServiceManager {
    fn new(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).unwrap())
    }

    /// Waits for a message with this part.
    async fn expect(&self, part: &str) {
        let mut message = [0; 4096];
        loop {
            let length = soon(self.0.recv(&mut message)).await.unwrap();
            if String::from_utf8_lossy(&message[..length]).contains(part) {
                return;
            }
        }
    }
}

/// Runs `graywave-agent restart` with further arguments.
async fn restart(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_graywave-agent"));
    command.arg("restart").args(arguments).arg("--data-dir").arg(data_dir);
    soon(command.output()).await.unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn supervised_agent_restarts_after_its_order() {
    let (home, mut worker) = (AgentHome::new(), FakeWorker::start().await);
    let socket = home.dir.path().join("notify");
    let manager = ServiceManager::new(&socket);
    let supervised = |command: &mut Command| {
        command.env("NOTIFY_SOCKET", &socket);
    };
    let agent = home.start_with(&worker, "", supervised).unwrap();
    manager.expect("READY=1").await;
    let mut session = worker.session().await;
    manager.expect("STATUS=attached to the worker http://127.0.0.1:").await;

    let go = home.dir.path().join("go");
    let content = format!("until [ -e {} ]; do sleep 0.05; done; echo $NOTIFY_SOCKET", go.display());
    session.order(order("r", &[&content])).await;
    eventually("the start", || {
        fs::read_dir(home.data_dir().join("runs")).is_ok_and(|runs| runs.count() == 1)
    })
    .await;
    let text = printed(&restart(&home.data_dir(), &["--within", "600"]).await);
    assert_eq!(text, "orders run: the agent restarts after them, or in 600 s\n");
    manager.expect("STATUS=a restart waits").await;
    fs::write(&go, "").unwrap();
    let result = session.result().await;
    assert_eq!(result.key, Some(key("r")));
    // The script does not speak to the service manager.
    assert_eq!(result.scripts.first().unwrap().output, "\n");
    manager.expect("STOPPING=1").await;
    // It has ended by itself, with success.
    agent.stop();
}

#[tokio::test]
async fn idle_agent_restarts_at_once() {
    let (home, mut worker) = (AgentHome::new(), FakeWorker::start().await);
    let socket = home.dir.path().join("notify");
    let manager = ServiceManager::new(&socket);
    let supervised = |command: &mut Command| {
        command.env("NOTIFY_SOCKET", &socket);
    };
    let agent = home.start_with(&worker, "", supervised).unwrap();
    let _session = worker.session().await;
    assert_eq!(printed(&restart(&home.data_dir(), &[]).await), "the agent restarts\n");
    manager.expect("STOPPING=1").await;
    agent.stop();
}

#[tokio::test]
async fn agent_without_a_service_manager_runs_on() {
    let (home, mut worker) = (AgentHome::new(), FakeWorker::start().await);
    let unsupervised = |command: &mut Command| {
        command.env_remove("NOTIFY_SOCKET");
    };
    let agent = home.start_with(&worker, "", unsupervised).unwrap();
    let mut session = worker.session().await;
    let output = restart(&home.data_dir(), &["--now"]).await;
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("has no service manager"), "{error}");
    session.order(order("u", &["true"])).await;
    assert_eq!(session.result().await.key, Some(key("u")));
    agent.stop();
}
