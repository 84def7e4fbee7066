//! The cluster of docker-compose.yml, under its own name and ports.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::{images::engine::Engine, process, root, say};

/// Time limit of each wait, generous for a machine that also does other work.
const TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(500);
pub(super) const PROJECT: &str = "demo";

/// State of a container.
#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) is_running: bool,
    pub(super) exit_code: i64,
}

#[derive(Debug)]
pub(super) struct Cluster<'a> {
    engine: &'a Engine,
    /// Unique project name, so that a cluster started by the user is left alone.
    name: String,
    pub(super) http_port: u16,
    grpc_port: u16,
    pub(super) admin_port: u16,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(engine: &'a Engine) -> anyhow::Result<Self> {
        let name = format!("graywave-test-{}", std::process::id());
        let ports = pgcluster::free_ports(3)?;
        let [http_port, grpc_port, admin_port] = ports[..] else {
            bail!("expected three free ports, got {ports:?}")
        };
        Ok(Self { engine, name, http_port, grpc_port, admin_port })
    }

    fn compose(&self, arguments: &[&str]) -> Command {
        let mut command = self.engine.compose(arguments);
        command
            .current_dir(root())
            .env("COMPOSE_PROJECT_NAME", &self.name)
            .env("GRAYWAVE_HTTP_PORT", self.http_port.to_string())
            .env("GRAYWAVE_GRPC_PORT", self.grpc_port.to_string())
            .env("GRAYWAVE_ADMIN_PORT", self.admin_port.to_string());
        command
    }

    /// Runs a command of compose and returns its output.
    pub(super) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::output(&mut self.compose(arguments))
    }

    /// Starts all services with this number of desktops.
    pub(super) fn up(&self, desktops: u32) -> anyhow::Result<()> {
        let desktops = format!("desktop={desktops}");
        self.run(&["up", "--detach", "--no-build", "--scale", &desktops]).map(drop)
    }

    pub(super) fn down(&self) -> anyhow::Result<()> {
        self.run(&["down", "--volumes", "--remove-orphans", "--timeout", "10"]).map(drop)
    }

    /// Runs a command in a container of a service.
    pub(super) fn exec(&self, service: &str, command: &[&str]) -> anyhow::Result<String> {
        self.run(&[&["exec", "-T", service], command].concat())
    }

    /// Returns the containers of a service, including exited ones.
    pub(super) fn containers(&self, service: &str) -> anyhow::Result<Vec<Container>> {
        let filters = [
            format!("label=com.docker.compose.project={}", self.name),
            format!("label=com.docker.compose.service={service}"),
        ];
        let mut list =
            self.engine.docker(&["ps", "--all", "--quiet", "--filter", &filters[0], "--filter", &filters[1]]);
        let ids = process::output(&mut list)?;
        ids.split_whitespace().map(|id| self.inspect(id)).collect()
    }

    fn inspect(&self, id: &str) -> anyhow::Result<Container> {
        let text = self.docker(&["inspect", "--format", "{{json .State}}", id])?;
        let state: Value = serde_json::from_str(&text)?;
        Ok(Container {
            id: id.to_owned(),
            is_running: state["Running"] == true,
            exit_code: state["ExitCode"].as_i64().context("no exit code")?,
        })
    }

    /// Runs a command of the docker client.
    pub(super) fn docker(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::output(&mut self.engine.docker(arguments))
    }

    /// Kills a container, as a crash of its machine would, and starts it again.
    pub(super) fn crash(&self, service: &str, index: usize) -> anyhow::Result<()> {
        let containers = self.containers(service)?;
        let container = containers.get(index).with_context(|| format!("no {service} {index}"))?;
        say(&format!("-- killing and restarting a container of {service}"));
        self.docker(&["kill", "--signal", "KILL", &container.id])?;
        self.docker(&["start", &container.id]).map(drop)
    }

    /// Prints the end of every service's log, for diagnosis.
    pub(super) fn show_logs(&self) {
        match self.run(&["logs", "--no-color", "--tail", "40"]) {
            Ok(logs) => say(&logs),
            Err(error) => say(&format!("no logs: {error:#}")),
        }
    }
}

/// Repeats a question until it is answered. Fails after a time limit, with the last error of the
/// question if any.
pub(super) fn wait_for<T>(
    what: &str,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        let answer = ask();
        match answer {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if begun.elapsed() > TIMEOUT => {
                bail!("{what}: not reached within {} s", TIMEOUT.as_secs())
            }
            Err(error) if begun.elapsed() > TIMEOUT => {
                return Err(error.context(format!("{what}: not reached within {} s", TIMEOUT.as_secs())));
            }
            _ => std::thread::sleep(POLL_INTERVAL),
        }
    }
}
