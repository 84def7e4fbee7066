//! A Docker engine: the running one, or one installed and started temporarily.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{install, process, say};

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Disk space for base images, build layers and a few containers.
const NEEDED_BYTES: u64 = 8 << 30;

/// Target of `docker` commands. Dropping the value stops an engine started here and deletes its
/// data.
#[derive(Debug)]
pub(crate) struct Engine {
    /// Value of `DOCKER_HOST`; `None` for the default of the machine.
    host: Option<String>,
    has_compose_plugin: bool,
    /// Engine started here, kept while it runs.
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    dockerd: Child,
    directory: PathBuf,
}

impl Engine {
    /// Finds the running engine. Without one, starts a private engine, as root on Debian.
    pub(crate) fn at_hand() -> anyhow::Result<Self> {
        let running = Self::new(None, None);
        if running.answers() {
            return Ok(running);
        }
        install::docker()?;
        // An installed engine may already run.
        if running.answers() {
            return Ok(running);
        }
        Self::start()
    }

    fn new(host: Option<String>, started: Option<Started>) -> Self {
        let has_compose_plugin = install::answers("docker", &["compose", "version"]);
        Self { host, has_compose_plugin, started }
    }

    /// Command of the docker client for this engine.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Command {
        self.command("docker", arguments)
    }

    /// Command of docker compose, version 2 or 1, for a compose file.
    pub(crate) fn compose(&self, arguments: &[&str]) -> Command {
        if self.has_compose_plugin {
            self.command("docker", &[&["compose"], arguments].concat())
        } else {
            self.command("docker-compose", arguments)
        }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        // The classic builder is always available; the BuildKit plugin may be missing.
        command.args(arguments).env("DOCKER_BUILDKIT", "0").env("COMPOSE_DOCKER_CLI_BUILD", "0");
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    fn answers(&self) -> bool {
        let mut info = self.docker(&["info", "--format", "{{.ServerVersion}}"]);
        info.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Starts an engine on its own socket and directory, isolated from other engines.
    fn start() -> anyhow::Result<Self> {
        let directory = place()?;
        say(&format!("== starting a Docker engine in {}", directory.display()));
        let host = format!("unix://{}", directory.join("docker.sock").display());
        let log = directory.join("dockerd.log");
        let dockerd = Command::new("dockerd")
            .args(["--host", &host])
            .arg("--data-root")
            .arg(directory.join("data"))
            .arg("--exec-root")
            .arg(directory.join("exec"))
            .arg("--pidfile")
            .arg(directory.join("dockerd.pid"))
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("cannot start dockerd")?;
        let mut engine = Self::new(Some(host), Some(Started { dockerd, directory }));
        let begun = Instant::now();
        while !engine.answers() {
            let ended = match &mut engine.started {
                Some(started) => started.dockerd.try_wait()?,
                None => None,
            };
            if ended.is_some() || begun.elapsed() > STARTS_WITHIN {
                bail!("the Docker engine did not start: {}", last_lines(&log));
            }
            std::thread::sleep(ASK_EVERY);
        }
        Ok(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(started) = self.started.take()
            && let Err(error) = started.end()
        {
            say(&format!("== the private Docker engine did not stop: {error:#}"));
        }
    }
}

impl Started {
    fn end(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.dockerd.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, Signal::TERM)?;
        self.dockerd.wait()?;
        std::fs::remove_dir_all(&self.directory)
            .with_context(|| format!("cannot remove {}", self.directory.display()))
    }
}

fn place() -> anyhow::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix("graywave-docker-").tempdir_in(fast_directory())?.keep())
}

/// Memory if large enough, which is many times faster than a slow disk.
pub(crate) fn fast_directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let free =
        rustix::fs::statvfs(memory).map_or(0, |file_system| file_system.f_bavail * file_system.f_frsize);
    if free >= NEEDED_BYTES { memory.to_path_buf() } else { std::env::temp_dir() }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// Whether the engine has an image.
pub(crate) fn has_image(engine: &Engine, image: &str) -> bool {
    process::output(&mut engine.docker(&["image", "inspect", "--format", "{{.Id}}", image])).is_ok()
}
