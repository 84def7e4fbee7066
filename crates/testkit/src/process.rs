//! Processes of Graywave: location of the programs, start and stop.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Path of one of the project's programs. Cargo puts it beside the current program or, for a test,
/// one directory above.
///
/// # Errors
///
/// If the program is not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let directories = own.ancestors().skip(1).take(2);
    let path = directories.map(|directory| directory.join(name)).find(|path| path.is_file());
    path.with_context(|| format!("{name} is not built: run `cargo build --workspace --bins`"))
}

/// Creates a temporary directory that the user of the private Postgres can enter.
pub fn directory(prefix: &str) -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix(prefix).permissions(fs::Permissions::from_mode(0o755)).tempdir()?)
}

/// Command of the program `graywave`, with metrics on a free port: all roles run on the same
/// machine.
pub fn graywave() -> anyhow::Result<Command> {
    let mut command = Command::new(binary("graywave")?);
    command.env("GRAYWAVE__TELEMETRY__LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    Ok(command)
}

/// Command of a role, with settings such as `("SCHEDULER__LISTEN", "127.0.0.1:9090")`.
pub fn role(name: &str, settings: &[(&str, &str)]) -> anyhow::Result<Command> {
    let mut command = graywave()?;
    command.arg(name).envs(settings.iter().map(|(key, value)| (format!("GRAYWAVE__{key}"), *value)));
    Ok(command)
}

/// A child process. Dropping the value stops the process.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a program and appends its standard error to a log file.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = command.stderr(log).stdin(Stdio::null()).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {command:?}"))? })
    }

    /// Handle of the child process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Sends SIGTERM and waits for the exit status.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        Ok(self.child.wait()?)
    }

    /// Sends SIGTERM and waits. Fails unless the process exits successfully.
    pub fn stop_cleanly(&mut self) -> anyhow::Result<()> {
        let status = self.stop()?;
        ensure!(status.success(), "the process did not stop cleanly: {status}");
        Ok(())
    }

    /// Kills the process with SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.signal(Signal::TERM).is_ok() {
            // SIGTERM, so that child processes such as Postgres also stop in order.
            drop(self.child.wait());
        }
    }
}
