//! A Docker engine: the one that runs here, or one that is installed and started for the time being.

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
/// Base images, layers of a build and a handful of containers.
const NEEDED_BYTES: u64 = 8 << 30;

/// Where `docker` commands go to. One that was started here ends when it is dropped, with all that it has.
#[derive(Debug)]
pub(crate) struct Engine {
    /// `DOCKER_HOST`, unless it is what the machine says anyway.
    host: Option<String>,
    has_compose_plugin: bool,
    /// Kept while it runs.
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    dockerd: Child,
    directory: PathBuf,
}

impl Engine {
    /// The engine that answers here; where none does and this is root on Debian, one of our own.
    pub(crate) fn at_hand() -> anyhow::Result<Self> {
        let running = Self::new(None, None);
        if running.answers() {
            return Ok(running);
        }
        install::docker()?;
        // What was installed may run already.
        if running.answers() {
            return Ok(running);
        }
        Self::start()
    }

    fn new(host: Option<String>, started: Option<Started>) -> Self {
        let has_compose_plugin = install::answers("docker", &["compose", "version"]);
        Self { host, has_compose_plugin, started }
    }

    /// A command of the docker client, for this engine.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Command {
        self.command("docker", arguments)
    }

    /// A command of docker compose, in its second version or the first, on a file.
    pub(crate) fn compose(&self, arguments: &[&str]) -> Command {
        if self.has_compose_plugin {
            self.command("docker", &[&["compose"], arguments].concat())
        } else {
            self.command("docker-compose", arguments)
        }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        // The classic builder is everywhere; the plugin of the other one need not be.
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

    /// Starts one on a socket and a directory of its own, so that whatever else runs here is left alone.
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
                bail!("the Docker engine does not start: {}", last_lines(&log));
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
            say(&format!("== the Docker engine that was started did not end: {error:#}"));
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

/// Memory where there is enough of it, which is many times as fast as a slow disk.
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
