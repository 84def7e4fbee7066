//! A dev cluster, and the scripts that the installed agent runs for it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use testkit::DevCluster;

use super::machine::Machine;

/// Time limit of each wait.
const TIMEOUT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Script that notes its start and runs until a file appears.
const WAITING: &str = "echo started >> /root/starts; until [ -e /root/go ]; do sleep 0.1; done; echo went on";

/// A dev cluster for the agents of packages.
pub(super) struct Cluster {
    dev: DevCluster,
    _directory: tempfile::TempDir,
}

/// A running script of [`WAITING`].
pub(super) struct Waiting(String);

impl Cluster {
    pub(super) fn start() -> anyhow::Result<Self> {
        let directory = testkit::directory("graywave-packages-")?;
        let dev = DevCluster::start(&directory.path().join("data"), 1, &[])?;
        Ok(Self { dev, _directory: directory })
    }

    /// Content of agent.env for a desktop.
    pub(super) fn settings(&self, desktop_id: &str) -> anyhow::Result<String> {
        let ready: Value = serde_json::from_str(&self.dev.ready_line)?;
        let worker = ready["agents"].as_str().context("no address for agents in the ready line")?;
        Ok(format!(
            "GRAYWAVE_AGENT_WORKER=http://{worker}\nGRAYWAVE_AGENT_PROJECT={}\n\
             GRAYWAVE_AGENT_DESKTOP_ID={desktop_id}\n",
            self.dev.ready.project_id
        ))
    }

    /// Waits until a desktop is connected, or until it is not.
    pub(super) fn wait_for_desktop(&self, desktop_id: &str, is_connected: bool) -> anyhow::Result<()> {
        wait_for(&format!("{desktop_id}, connected: {is_connected}"), || {
            let answer = self.dev.rest.native().get("/desktops?status=ACTIVE")?;
            let desktops = answer["desktops"].as_array().context("no desktops in the answer")?;
            Ok(desktops.iter().any(|desktop| desktop["desktop_id"] == desktop_id) == is_connected)
        })
    }

    /// Runs a script to its end and returns its output. Fails unless it succeeds.
    pub(super) fn run(&self, desktop_id: &str, content: &str) -> anyhow::Result<String> {
        let task_id = self.submit(desktop_id, content)?;
        self.result(&task_id)
    }

    /// Starts a script that runs until [`Self::finish`].
    pub(super) fn start_waiting(&self, machine: &Machine, desktop_id: &str) -> anyhow::Result<Waiting> {
        for name in ["/root/starts", "/root/go"] {
            let path = machine.path(name);
            if path.exists() {
                fs::remove_file(path)?;
            }
        }
        let task_id = self.submit(desktop_id, WAITING)?;
        wait_for("the start of the script", || Ok(machine.has("/root/starts")))?;
        Ok(Waiting(task_id))
    }

    /// Lets the script end. Fails unless it succeeds and started once.
    pub(super) fn finish(&self, machine: &Machine, waiting: &Waiting) -> anyhow::Result<()> {
        fs::write(machine.path("/root/go"), "")?;
        let output = self.result(&waiting.0)?;
        ensure!(output.contains("went on"), "the script has another output: {output:?}");
        let starts = fs::read_to_string(machine.path("/root/starts"))?;
        ensure!(starts == "started\n", "the script has started more than once: {starts:?}");
        Ok(())
    }

    fn submit(&self, desktop_id: &str, content: &str) -> anyhow::Result<String> {
        let script = json!({"name": "package", "type": "SHELL", "content": content});
        let script = self.dev.rest.post("/scripts", &script)?;
        let body = json!({
            "resource_type": "DESKTOP", "resource_ids": [desktop_id], "script_ids": [script["script_id"]],
            "execution_timeout": 5,
        });
        let answer = self.dev.rest.post("/script-executions", &body)?;
        Ok(answer["task_id"].as_str().context("no task_id in the answer")?.to_owned())
    }

    /// Waits for the end of a task of one script. Returns its output.
    fn result(&self, task_id: &str) -> anyhow::Result<String> {
        wait_for("the end of the script", || {
            let answer = self.dev.rest.get(&format!("/script-execution-tasks?task_id={task_id}"))?;
            Ok(!answer["script_tasks"][0]["end_time"].is_null())
        })?;
        let path = format!("/script-execution-records?script_task_id={task_id}&limit=10");
        let record = self.dev.rest.get(&path)?["script_records"][0].take();
        ensure!(record["status"] == "SUCCESS", "the script did not succeed: {record}");
        let id = record["id"].as_str().with_context(|| format!("a record without an id: {record}"))?;
        let detail = self.dev.rest.get(&format!("/script-execution-records/{id}"))?;
        let output = detail["output"].as_str();
        Ok(output.with_context(|| format!("a record without output: {detail}"))?.to_owned())
    }
}

/// Waits until a condition holds.
pub(super) fn wait_for(what: &str, condition: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !condition()? {
        if begun.elapsed() > TIMEOUT {
            bail!("timed out waiting for {what}");
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}
