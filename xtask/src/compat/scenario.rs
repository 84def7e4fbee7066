//! An upgrade in the order of docs/upgrade.md, and the way back, with a rollout after each step.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use testkit::{Process, Rest};

use super::programs::Programs;
use crate::{database::Scratch, process, say};

const PROJECT: &str = "project-1";
const TOKEN: &str = "a-token-of-project-1";
/// Number of desktops.
const DESKTOPS: usize = 3;
/// Time limit of each wait.
const TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs the upgrade and the way back. Fails at the first rollout that does not succeed.
pub(super) fn run(old: &Programs, new: &Programs) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(old)?;
    cluster.rollout("every role is old")?;
    let script = cluster.start_script()?;
    cluster.migrate(new)?;
    cluster.rollout("the schema is new")?;
    cluster.replace_scheduler(new)?;
    cluster.rollout("the scheduler is new")?;
    cluster.replace_api(new)?;
    cluster.rollout("the API is new")?;
    cluster.replace_worker(new)?;
    cluster.rollout("the worker is new")?;
    cluster.replace_agents(new)?;
    cluster.rollout("every role is new")?;
    cluster.end_script(&script)?;
    // A rollback of the control plane leaves newer agents behind.
    cluster.replace_worker(old)?;
    cluster.replace_api(old)?;
    cluster.replace_scheduler(old)?;
    cluster.rollout("the control plane is old again, with new agents")?;
    cluster.replace_agents(old)?;
    cluster.rollout("every role is old again")
}

/// Roles of a cluster, each as one process, on a private Postgres.
struct Cluster {
    // Dropped in this order: agents before roles, and Postgres last.
    agents: Vec<Process>,
    worker: Option<Process>,
    api: Option<Process>,
    scheduler: Option<Process>,
    rest: Rest,
    addresses: [String; 3],
    directory: tempfile::TempDir,
    database: Scratch,
}

impl Cluster {
    fn start(programs: &Programs) -> anyhow::Result<Self> {
        let database = Scratch::start()?;
        let addresses: [String; 3] = pgcluster::free_addresses()?;
        let mut cluster = Self {
            agents: Vec::new(),
            worker: None,
            api: None,
            scheduler: None,
            rest: Rest::new(&format!("http://{}", addresses[0]), PROJECT, TOKEN),
            addresses,
            directory: testkit::directory("graywave-compat-")?,
            database,
        };
        cluster.migrate(programs)?;
        cluster.replace_scheduler(programs)?;
        cluster.replace_api(programs)?;
        cluster.replace_worker(programs)?;
        cluster.replace_agents(programs)?;
        Ok(cluster)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Command of a role, with settings such as `("API__LISTEN", "127.0.0.1:8080")`.
    fn role(&self, programs: &Programs, name: &str, settings: &[(&str, &str)]) -> Command {
        let mut command = programs.command("graywave");
        command.arg(name).env("GRAYWAVE__TELEMETRY__LISTEN", "127.0.0.1:0");
        command.envs(settings.iter().map(|(key, value)| (format!("GRAYWAVE__{key}"), *value)));
        command
    }

    fn migrate(&self, programs: &Programs) -> anyhow::Result<()> {
        process::run(programs.command("graywave").arg("migrate").env("DATABASE_URL", self.database.url()))
    }

    fn replace_scheduler(&mut self, programs: &Programs) -> anyhow::Result<()> {
        stop(&mut self.scheduler)?;
        let settings =
            [("SCHEDULER__LISTEN", self.addresses[1].as_str()), ("SCHEDULER__HEARTBEAT_MS", "300")];
        let mut command = self.role(programs, "scheduler", &settings);
        command.env("DATABASE_URL", self.database.url());
        self.scheduler = Some(Process::start(&mut command, &self.path("scheduler.log"))?);
        Ok(())
    }

    fn replace_api(&mut self, programs: &Programs) -> anyhow::Result<()> {
        stop(&mut self.api)?;
        let token = format!("{PROJECT}:{TOKEN}");
        let settings = [("API__LISTEN", self.addresses[0].as_str()), ("API__TOKENS", token.as_str())];
        let mut command = self.role(programs, "api", &settings);
        command.env("DATABASE_URL", self.database.url());
        self.api = Some(Process::start(&mut command, &self.path("api.log"))?);
        Ok(())
    }

    fn replace_worker(&mut self, programs: &Programs) -> anyhow::Result<()> {
        stop(&mut self.worker)?;
        let scheduler = format!("http://{}", self.addresses[1]);
        let settings =
            [("WORKER__LISTEN", self.addresses[2].as_str()), ("WORKER__SCHEDULER_URLS", scheduler.as_str())];
        let mut command = self.role(programs, "worker", &settings);
        self.worker = Some(Process::start(&mut command, &self.path("worker.log"))?);
        Ok(())
    }

    fn replace_agents(&mut self, programs: &Programs) -> anyhow::Result<()> {
        for agent in &mut self.agents {
            agent.stop()?;
        }
        self.agents.clear();
        for number in 1..=DESKTOPS {
            let desktop_id = format!("desktop-{number}");
            let mut command = programs.command("graywave-agent");
            command.args(["--project", PROJECT, "--desktop-id", &desktop_id, "--data-dir"]);
            command.arg(self.path(&desktop_id));
            command.args(["--worker", &format!("http://{}", self.addresses[2])]);
            self.agents.push(Process::start(&mut command, &self.path("agents.log"))?);
        }
        Ok(())
    }

    /// Runs a gray rollout over all desktops, which must succeed.
    fn rollout(&self, step: &str) -> anyhow::Result<()> {
        let task_id = self.submit("echo $GRAYWAVE_DESKTOP_ID", &desktops(DESKTOPS), Some(1))?;
        let task = self.ended(&task_id).with_context(|| format!("after this step: {step}"))?;
        let succeeded = task["success_num"].as_u64();
        ensure!(
            task["status"] == "SUCCESS" && succeeded == Some(DESKTOPS as u64),
            "after this step: {step}: {task}\n{}",
            self.logs()
        );
        say(&format!("-- {step}: {DESKTOPS} desktops succeeded"));
        Ok(())
    }

    /// Starts a script on the first desktop that runs until [`Self::end_script`].
    fn start_script(&self) -> anyhow::Result<String> {
        let (began, gate) = (self.path("began"), self.path("gate"));
        let command = format!(
            "echo x >> {}; until [ -e {} ]; do sleep 0.05; done; echo went on",
            began.display(),
            gate.display()
        );
        let task_id = self.submit(&command, &desktops(1), None)?;
        self.wait_for("the long script", || Ok(began.exists()))?;
        Ok(task_id)
    }

    /// Ends the script, which must have run once through all replacements.
    fn end_script(&self, task_id: &str) -> anyhow::Result<()> {
        fs::write(self.path("gate"), "")?;
        let task = self.ended(task_id)?;
        let starts = fs::read_to_string(self.path("began"))?;
        ensure!(task["status"] == "SUCCESS" && starts.lines().count() == 1, "{task}\n{}", self.logs());
        say("-- a script ran through the upgrade of its worker and its agent");
        Ok(())
    }

    fn submit(&self, command: &str, desktops: &[String], gray: Option<u32>) -> anyhow::Result<String> {
        let mut body = json!({"resource_ids": desktops, "command": command, "command_type": "SHELL"});
        body["execution_timeout"] = json!(30);
        if let Some(gray) = gray {
            body["gray_count"] = json!(gray);
        }
        // A role that was just replaced does not answer yet.
        let mut task_id = None;
        self.wait_for("an accepted task", || {
            task_id = match self.rest.post("/script-executions", &body) {
                Ok(answer) => answer["task_id"].as_str().map(str::to_owned),
                Err(error) => {
                    self.note(&error)?;
                    None
                }
            };
            Ok(task_id.is_some())
        })?;
        task_id.context("no task_id in the answer")
    }

    /// Keeps the last error of a call, which the logs show after a timeout.
    fn note(&self, error: &anyhow::Error) -> anyhow::Result<()> {
        Ok(fs::write(self.path("calls.log"), format!("{error:#}\n"))?)
    }

    fn ended(&self, task_id: &str) -> anyhow::Result<Value> {
        let mut task = Value::Null;
        self.wait_for("the end of a task", || {
            match self.rest.get(&format!("/script-execution-tasks?task_id={task_id}")) {
                Ok(answer) => task = answer["script_tasks"][0].clone(),
                Err(error) => self.note(&error)?,
            }
            Ok(!task["end_time"].is_null())
        })?;
        Ok(task)
    }

    fn wait_for(
        &self,
        what: &str,
        mut condition: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !condition()? {
            if begun.elapsed() > TIMEOUT {
                bail!("timed out waiting for {what}\n{}", self.logs());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn logs(&self) -> String {
        ["calls", "api", "scheduler", "worker", "agents"]
            .map(|name| log(&self.path(&format!("{name}.log"))))
            .concat()
    }
}

/// Ends of a log, as much as helps.
fn log(path: &Path) -> String {
    const LINES: usize = 20;
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n");
    format!("== {}\n{end}\n", path.display())
}

fn stop(role: &mut Option<Process>) -> anyhow::Result<()> {
    match role.take() {
        Some(mut process) => process.stop_cleanly(),
        None => Ok(()),
    }
}

fn desktops(number: usize) -> Vec<String> {
    (1..=number).map(|number| format!("desktop-{number}")).collect()
}
