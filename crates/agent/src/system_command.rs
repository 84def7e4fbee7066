//! Commands of the operating system that the agent runs for itself.

use std::{
    ffi::OsStr,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

/// Time limit of one command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of bytes that are read of a command's output.
const MAX_OUTPUT_BYTES: usize = 64 << 10;

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
