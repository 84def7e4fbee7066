//! Power of the desktop: its boot, its users, and how it goes down.

use std::{
    ffi::OsStr,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::{
    journal::{Way, blocking},
    platform,
};

/// Time limit of one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of bytes that are read of a command's output.
const MAX_OUTPUT_BYTES: usize = 64 << 10;

/// How an agent reboots its desktop and powers it off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Power {
    /// By the commands of the operating system.
    #[default]
    System,
    /// By a program with one argument: `boot-id` prints the id of the present boot, `users` prints
    /// the names of active users, one per line, `ask` shows a message to them, `reboot` and `stop`
    /// let the desktop go down.
    Program(PathBuf),
    /// Not at all: orders that would need it are rejected.
    Forbidden,
}

impl Power {
    /// Id of the present boot; `None` if it is unknown or the desktop may not go down.
    pub(crate) async fn boot_id(&self) -> Option<String> {
        match self {
            Self::System => blocking(runner::boot_id).await,
            Self::Program(program) => {
                let id = output(program, &["boot-id"]).await;
                let id = id.inspect_err(|error| tracing::error!(%error, "reading the boot id failed"));
                id.ok().map(|id| id.trim().to_owned())
            }
            Self::Forbidden => None,
        }
        .filter(|id| !id.is_empty())
    }

    /// Names of the users that use the desktop now; `None` if this cannot be told.
    pub(crate) async fn active_users(&self) -> Option<Vec<String>> {
        match self {
            Self::System => platform::active_users().await,
            Self::Program(program) => {
                let users = output(program, &["users"]).await;
                let users = users.inspect_err(|error| tracing::warn!(%error, "reading the users failed"));
                let lines = users.ok()?;
                let names = lines.lines().map(str::trim).filter(|name| !name.is_empty());
                Some(names.map(str::to_owned).collect())
            }
            Self::Forbidden => None,
        }
    }

    /// Shows a message to the users.
    pub(crate) async fn ask(&self, message: &str) -> io::Result<()> {
        match self {
            Self::System => platform::show_message(message).await,
            Self::Program(program) => output(program, &["ask", message]).await.map(drop),
            Self::Forbidden => Ok(()),
        }
    }

    /// Begins to reboot the desktop, or to power it off.
    pub(crate) async fn go_down(&self, way: Way) -> io::Result<()> {
        match self {
            Self::System => {
                let (program, arguments) = platform::power_command(way);
                output(program, &arguments).await.map(drop)
            }
            Self::Program(program) => {
                let argument = if way == Way::Reboot { "reboot" } else { "stop" };
                output(program, &[argument]).await.map(drop)
            }
            Self::Forbidden => Err(io::Error::other("this agent may not let its desktop go down")),
        }
    }
}

/// Runs a command to its end; returns its standard output.
pub(crate) async fn output(
    program: impl AsRef<OsStr>,
    arguments: &[impl AsRef<OsStr>],
) -> io::Result<String> {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let name = program.as_ref().to_string_lossy().into_owned();
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{name} took longer than 30 s"));
    let ended = timeout(COMMAND_TIMEOUT, command.output()).await.map_err(late)?.map_err(named)?;
    check(&name, ended.status, &ended.stderr)?;
    let mut text = String::from_utf8_lossy(&ended.stdout).into_owned();
    text.truncate(text.floor_char_boundary(MAX_OUTPUT_BYTES));
    Ok(text)
}

fn check(name: &str, status: ExitStatus, stderr: &[u8]) -> io::Result<()> {
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(io::Error::other(format!("{name} failed with {status}: {line}")))
}
