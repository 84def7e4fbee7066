//! Processes of Graywave: where their programs are, and how they start and end.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// One of the project's programs, which cargo puts beside this one or, for a test, one directory above.
///
/// # Errors
///
/// When it is not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let directories = own.ancestors().skip(1).take(2);
    let path = directories.map(|directory| directory.join(name)).find(|path| path.is_file());
    path.with_context(|| format!("{name} is not built: cargo build --workspace --bins"))
}

/// A temporary directory that the private Postgres's user can enter.
pub fn directory(prefix: &str) -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix(prefix).permissions(fs::Permissions::from_mode(0o755)).tempdir()?)
}

/// The program `graywave`, with its metrics on a free port: all roles share a machine.
pub fn graywave() -> anyhow::Result<Command> {
    let mut command = Command::new(binary("graywave")?);
    command.env("GRAYWAVE__TELEMETRY__LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    Ok(command)
}

/// A role as a process, with settings like `("SCHEDULER__LISTEN", "127.0.0.1:9090")`.
pub fn role(name: &str, settings: &[(&str, &str)]) -> anyhow::Result<Command> {
    let mut command = graywave()?;
    command.arg(name).envs(settings.iter().map(|(key, value)| (format!("GRAYWAVE__{key}"), *value)));
    Ok(command)
}

/// A child process that ends with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a program whose standard error is appended to a log.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = command.stderr(log).stdin(Stdio::null()).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {command:?}"))? })
    }

    /// The child itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        Ok(self.child.wait()?)
    }

    /// Stops it, and fails unless it succeeds.
    pub fn stop_cleanly(&mut self) -> anyhow::Result<()> {
        let status = self.stop()?;
        ensure!(status.success(), "it did not stop cleanly: {status}");
        Ok(())
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.signal(Signal::TERM).is_ok() {
            // What it started, such as Postgres, ends with it, in order.
            drop(self.child.wait());
        }
    }
}
