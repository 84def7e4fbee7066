//! Rollouts of batch files on a dev cluster whose desktops run Linux and, under Wine, Windows.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use testkit::{DevCluster, Process};

use super::{programs::Programs, wine::Wine};
use crate::{process, say};

/// Number of desktops of each system.
const DESKTOPS: u32 = 3;
/// Time limit of each wait.
const TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Outcomes of the desktops of a task: status and result code.
type Outcomes = BTreeMap<String, (String, String)>;

struct Cluster<'a> {
    dev: DevCluster,
    wine: &'a Wine,
    programs: &'a Programs,
    directory: PathBuf,
    agents: BTreeMap<String, Process>,
}

/// Runs all rollouts. Fails unless the results are exactly as expected.
pub(super) fn run(wine: &Wine, programs: &Programs) -> anyhow::Result<()> {
    let directory = testkit::directory("graywave-windows-")?;
    let dev = DevCluster::start(&directory.path().join("data"), DESKTOPS, &[])?;
    let directory = directory.path().to_owned();
    let mut cluster = Cluster { dev, wine, programs, directory, agents: BTreeMap::new() };
    for number in 1..=DESKTOPS {
        cluster.start_agent(&format!("windows-{number}"))?;
    }
    cluster.wait_for("all desktops", |cluster| Ok(cluster.desktops()?.len() == 2 * DESKTOPS as usize))?;
    cluster.mixed_rollout()?;
    cluster.halted_rollout()?;
    cluster.restarted_agent()?;
    cluster.service()?;
    cluster.dev.process.stop_cleanly()
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        for agent in self.agents.values_mut() {
            // Fails only if the agent has ended.
            drop(agent.kill());
        }
    }
}

impl Cluster<'_> {
    /// Starts an agent under Wine, or starts it again.
    fn start_agent(&mut self, desktop_id: &str) -> anyhow::Result<()> {
        let mut command = self.agent(desktop_id)?;
        let log = self.directory.join(format!("{desktop_id}.log"));
        self.agents.insert(desktop_id.to_owned(), Process::start(&mut command, &log)?);
        Ok(())
    }

    /// Active desktops with their operating system.
    fn desktops(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let answer = self.dev.rest.native().get("/desktops?status=ACTIVE")?;
        let text = |desktop: &Value, key: &str| desktop[key].as_str().unwrap_or_default().to_owned();
        let desktops = answer["desktops"].as_array().context("no desktops in the answer")?;
        Ok(desktops.iter().map(|desktop| (text(desktop, "desktop_id"), text(desktop, "os_type"))).collect())
    }

    /// Desktops of one operating system.
    fn desktops_of(&self, os_type: &str) -> anyhow::Result<Vec<String>> {
        let all = self.desktops()?;
        let found: Vec<String> =
            all.into_iter().filter(|(_, of)| of == os_type).map(|(desktop_id, _)| desktop_id).collect();
        ensure!(found.len() == DESKTOPS as usize, "the desktops with {os_type} are {found:?}");
        Ok(found)
    }

    /// Starts a batch file on all desktops, with a gray wave of those with Windows.
    fn submit(&self, name: &str, content: &str, gray: &[String]) -> anyhow::Result<String> {
        let script = json!({"name": name, "type": "BAT", "content": content});
        let script = self.dev.rest.post("/scripts", &script)?;
        let all: Vec<String> = self.desktops()?.into_keys().collect();
        let body = json!({
            "resource_type": "DESKTOP", "resource_ids": all, "script_ids": [script["script_id"]],
            "gray_resource_ids": gray, "gray_fail_threshold": 1, "execution_timeout": 2,
        });
        let answer = self.dev.rest.post("/script-executions", &body)?;
        Ok(answer["task_id"].as_str().context("no task_id in the answer")?.to_owned())
    }

    /// Waits for the end of a task; returns its status and the outcomes.
    fn outcomes(&self, task_id: &str) -> anyhow::Result<(String, Outcomes)> {
        self.wait_for("the end of a task", |cluster| Ok(!cluster.task(task_id)?["end_time"].is_null()))?;
        let status = self.task(task_id)?["status"].as_str().unwrap_or_default().to_owned();
        let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let outcomes = self.records(task_id)?.into_iter().map(|record| {
            (text(&record, "resource_id"), (text(&record, "status"), text(&record, "result_code")))
        });
        Ok((status, outcomes.collect()))
    }

    fn task(&self, task_id: &str) -> anyhow::Result<Value> {
        let answer = self.dev.rest.get(&format!("/script-execution-tasks?task_id={task_id}"))?;
        Ok(answer["script_tasks"][0].clone())
    }

    fn records(&self, task_id: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/script-execution-records?script_task_id={task_id}&limit=100");
        let answer = self.dev.rest.get(&path)?;
        answer["script_records"].as_array().cloned().context("no records in the answer")
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&Self) -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !condition(self)? {
            if begun.elapsed() > TIMEOUT {
                bail!("timed out waiting for {what}\n{}", self.logs());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn logs(&self) -> String {
        let log = |desktop_id: &String| {
            let text = fs::read_to_string(self.directory.join(format!("{desktop_id}.log")));
            format!("== {desktop_id}\n{}", text.unwrap_or_default())
        };
        self.agents.keys().map(log).collect()
    }

    /// The gray wave succeeds on Windows; the other wave has desktops of both systems.
    fn mixed_rollout(&self) -> anyhow::Result<()> {
        let (windows, linux) = (self.desktops_of("Windows")?, self.desktops_of("Linux")?);
        let content = "@echo off\necho updated %GRAYWAVE_DESKTOP_ID%\nexit /b 0\n";
        let (status, outcomes) = self.outcomes(&self.submit("good", content, &windows[..2])?)?;
        for desktop_id in &windows {
            let outcome = outcomes.get(desktop_id);
            ensure!(outcome.is_some_and(|(status, _)| status == "SUCCESS"), "{desktop_id}: {outcome:?}");
        }
        for desktop_id in &linux {
            let outcome = outcomes.get(desktop_id);
            ensure!(outcome.is_some_and(|(_, code)| code == "REJECTED"), "{desktop_id}: {outcome:?}");
        }
        say(&format!("-- a batch file on both systems: {status}, rejected by Linux alone"));
        Ok(())
    }

    /// A canary fails, and no desktop of the other wave starts.
    fn halted_rollout(&self) -> anyhow::Result<()> {
        let windows = self.desktops_of("Windows")?;
        let content = "@if %GRAYWAVE_DESKTOP_ID%==windows-2 exit /b 3010\n@exit /b 0\n";
        let task_id = self.submit("bad", content, &windows[..2])?;
        let (status, outcomes) = self.outcomes(&task_id)?;
        ensure!(status == "FAILED", "the task is {status}: {outcomes:?}");
        let failed = outcomes.get("windows-2").context("no outcome of the failing canary")?;
        ensure!(failed.1 == "EXIT_CODE", "the failing canary is {failed:?}");
        let skipped = outcomes.values().filter(|(status, _)| status == "SKIPPED").count();
        ensure!(skipped == outcomes.len() - 2, "the other wave is not skipped: {outcomes:?}");
        let records = self.records(&task_id)?;
        let started = records.iter().filter(|record| !record["start_time"].is_null()).count();
        ensure!(started <= 2, "{started} desktops have started");
        say(&format!("-- a failing canary on Windows: the other {skipped} desktops never started"));
        Ok(())
    }

    /// An agent is killed while its script runs, and the next one reports the result.
    fn restarted_agent(&mut self) -> anyhow::Result<()> {
        let windows = self.desktops_of("Windows")?;
        let place = self.wine.drive().join("restart");
        fs::create_dir_all(&place)?;
        let content = "@echo off\nif not %GRAYWAVE_DESKTOP_ID%==windows-1 exit /b 0\n\
                       echo x>>C:\\restart\\starts\n:again\nif not exist C:\\restart\\go goto again\n\
                       echo went on\nexit /b 0\n";
        let task_id = self.submit("restart", content, &windows[..2])?;
        let starts = place.join("starts");
        self.wait_for("the script", |_| Ok(exists(&starts)))?;
        self.agents.get_mut("windows-1").context("no agent")?.kill()?;
        self.start_agent("windows-1")?;
        self.wait_for("the restarted agent", |cluster| {
            Ok(cluster.desktops()?.len() == 2 * DESKTOPS as usize)
        })?;
        fs::write(place.join("go"), "")?;
        let (_, outcomes) = self.outcomes(&task_id)?;
        let outcome = outcomes.get("windows-1");
        ensure!(outcome.is_some_and(|(status, _)| status == "SUCCESS"), "windows-1: {outcome:?}");
        let started = fs::read_to_string(&starts)?;
        ensure!(started.trim_end() == "x", "the script has started more than once: {started:?}");
        say("-- an agent killed under a running batch file: the next one reported its result");
        Ok(())
    }

    /// An agent as a service: it starts, attaches and stops.
    fn service(&self) -> anyhow::Result<()> {
        const DESKTOP: &str = "windows-service";
        let mut install = self.agent(DESKTOP)?;
        run_program(install.args(["service", "install"]))?;
        let net = Path::new("net");
        run_program(self.wine.program(net).args(["start", "graywave-agent"]))?;
        self.wait_for("the service", |cluster| Ok(cluster.desktops()?.contains_key(DESKTOP)))?;
        run_program(self.wine.program(net).args(["stop", "graywave-agent"]))?;
        self.wait_for("the stop of the service", |cluster| Ok(!cluster.desktops()?.contains_key(DESKTOP)))?;
        run_program(self.wine.program(&self.programs.agent).args(["service", "uninstall"]))?;
        let log = self.wine.drive().join("ProgramData/Graywave").join(DESKTOP).join("log");
        let files = fs::read_dir(&log).with_context(|| format!("no log files in {}", log.display()))?;
        ensure!(files.count() == 1, "the service has not one log file");
        say("-- the agent as a service: started, attached, stopped");
        Ok(())
    }

    /// Command of an agent of the cluster.
    fn agent(&self, desktop_id: &str) -> anyhow::Result<Command> {
        let ready: Value = serde_json::from_str(&self.dev.ready_line)?;
        let worker = ready["agents"].as_str().context("no address for agents in the ready line")?;
        let data_dir = format!(r"C:\ProgramData\Graywave\{desktop_id}");
        let mut command = self.wine.program(&self.programs.agent);
        command
            .args(["--worker", &format!("http://{worker}"), "--project", &self.dev.ready.project_id])
            .args(["--desktop-id", desktop_id, "--data-dir", &data_dir])
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        Ok(command)
    }
}

fn run_program(command: &mut Command) -> anyhow::Result<()> {
    // Programs of Windows write to a console, and their output helps only after a failure.
    process::output(command).map(drop)
}

fn exists(path: &Path) -> bool {
    path.exists()
}
