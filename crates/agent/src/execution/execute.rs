//! Execution of one script: from its text to its outcome.

use std::{
    convert::Infallible,
    ffi::OsString,
    fs::{File, Permissions},
    future::pending,
    io::{self, Write as _},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{OpenOptionsExt as _, PermissionsExt as _},
            process::ExitStatusExt as _,
        },
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use proto::{ScriptOutcome, types::Script};
use rustix::process::Signal;
use tokio::{
    net::unix::pipe::Receiver,
    process::{Child, Command},
    task::coop::consume_budget,
    time::timeout,
};

use super::{
    drains::Drains,
    interpreter::{self, Interpreter},
    output::Output,
    process_tree, user,
};
use crate::{
    config::TOKEN_VARIABLE,
    journal::blocking,
    scratch::{RunDir, Scratch},
};

#[cfg(test)]
#[path = "execute_tests.rs"]
mod tests;

/// Time that reading continues, or that a killed process is waited for, after the script has ended.
const GRACE: Duration = Duration::from_secs(1);

/// Prevents a fork while a script's file is open for writing.
///
/// Until a child executes its program, it has a copy of every descriptor, including close-on-exec
/// ones. Executing a file that is open for writing fails: `exec "$0"` would return ETXTBSY. So a
/// writer of a script's file holds this lock for reading, and a spawner holds it for writing.
static SCRIPT_FILES: RwLock<()> = RwLock::new(());

/// Script that can be started: its interpreter exists and its file is written.
#[derive(Debug)]
pub(crate) struct Prepared {
    interpreter: Interpreter,
    file: PathBuf,
    dir: RunDir,
    /// Variables of the agent's user.
    user: Vec<(&'static str, OsString)>,
}

impl Prepared {
    /// Waits until the script's directory is removed, or left because it is in use.
    pub(crate) fn removed(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.dir.removed()
    }
}

/// Finds the interpreter and writes the script's file into a new directory. The error is the reason
/// for the rejection. Blocks.
pub(crate) fn prepare(script: &Script, scratch: &Arc<Scratch>) -> Result<Prepared, String> {
    let interpreter = interpreter::of(script)?;
    let write = || -> io::Result<(RunDir, PathBuf)> {
        let dir = scratch.create()?;
        let path = dir.path().join(interpreter.file_name);
        write_script(&path, &script.content)?;
        Ok((dir, path))
    };
    let (dir, file) = write().map_err(|error| format!("writing the script's file failed: {error}"))?;
    Ok(Prepared { interpreter, file, dir, user: user::variables() })
}

/// Writes a file that its owner may execute: a script may run `exec "$0"`.
fn write_script(path: &Path, content: &str) -> io::Result<()> {
    let _no_fork = SCRIPT_FILES.read().unwrap_or_else(PoisonError::into_inner);
    let mut file = File::options().create_new(true).write(true).mode(0o700).open(path)?;
    // Independent of the umask.
    file.set_permissions(Permissions::from_mode(0o700))?;
    file.write_all(content.as_bytes())
}

/// Environment and limits of a script.
#[derive(Debug)]
pub(crate) struct Terms {
    /// Value of the marker variable in the environment of all its processes.
    pub(crate) mark: String,
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) timeout: Duration,
    /// Exit codes that count as success, in addition to 0.
    pub(crate) success_exit_codes: Vec<i32>,
}

/// Result of a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) outcome: ScriptOutcome,
    pub(crate) exit_code: Option<i32>,
    pub(crate) output: String,
    pub(crate) reason: String,
}

/// Cause of a halt before the end of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The agent shuts down.
    Agent,
    /// A stop was requested.
    Request,
}

enum End {
    Exited(io::Result<ExitStatus>),
    TimedOut,
    Halted(Halt),
}

/// Runs a script to its end, its timeout or `halt`. The error is the reason why it could not start.
///
/// When the future is dropped, the script continues in its directory and its result is lost.
pub(crate) async fn execute(
    mut prepared: Prepared,
    terms: Terms,
    halt: impl Future<Output = Halt>,
    drains: &Drains,
) -> Result<Ended, String> {
    prepared.dir.set_in_use(true);
    // Spawning may wait until a script's file is written.
    let (spawned, mut prepared, terms) = blocking(move || (spawn(&prepared, &terms), prepared, terms)).await;
    if spawned.is_err() {
        prepared.dir.set_in_use(false);
    }
    let (mut child, mut pipe) = spawned.map_err(|error| format!("starting the script failed: {error}"))?;
    let mut output = Output::default();
    let mut until_closed = Box::pin(async {
        read(&mut pipe, &mut output).await;
        // The script may close its output and continue.
        pending::<Infallible>().await
    });
    let mut end = tokio::select! {
        status = child.wait() => End::Exited(status),
        () = tokio::time::sleep(terms.timeout) => End::TimedOut,
        halt = halt => End::Halted(halt),
        never = &mut until_closed => match never {},
    };
    drop(until_closed);
    if let End::Halted(Halt::Request) = end
        && let Some(status) = kill_unless_ended(&mut child)
    {
        end = End::Exited(Ok(status));
    }
    let mut all_killed = true;
    if !matches!(end, End::Exited(_)) {
        // The child is not reaped, so its id, which is also its group's, cannot be reused yet.
        let (group, mark) = (child.id(), terms.mark);
        all_killed = blocking(move || process_tree::kill(group, &mark)).await;
        let status = timeout(GRACE, child.wait()).await;
        all_killed &= status.is_ok();
        if let (End::Halted(Halt::Request), Ok(Ok(status))) = (&end, status)
            && status.signal() != Some(Signal::KILL.as_raw())
        {
            // The script ended just before it was killed.
            end = End::Exited(Ok(status));
        }
    }
    prepared.dir.set_in_use(false);
    // A background process may hold the pipe forever.
    if timeout(GRACE, read(&mut pipe, &mut output)).await.is_err() {
        drains.add(pipe);
    }
    Ok(judge(end, all_killed, terms.timeout, &terms.success_exit_codes, output.into_text()))
}

/// Kills the script's own process, or returns its status if it has ended. It is killed before its
/// children: otherwise it might notice a child's death and end with a status of its own.
fn kill_unless_ended(child: &mut Child) -> Option<ExitStatus> {
    if let Ok(Some(status)) = child.try_wait() {
        return Some(status);
    }
    if let Err(error) = child.start_kill() {
        tracing::debug!(%error, "killing the script's process failed; killing its group");
    }
    None
}

fn spawn(prepared: &Prepared, terms: &Terms) -> io::Result<(Child, Receiver)> {
    // One pipe for both streams keeps the output in the order of its writes.
    let (reader, writer) = io::pipe()?;
    let pipe = Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let _no_open_script_file = SCRIPT_FILES.write().unwrap_or_else(PoisonError::into_inner);
    let child = Command::new(&prepared.interpreter.program)
        .args(&prepared.interpreter.args)
        .arg(&prepared.file)
        .envs(prepared.user.iter().map(|(name, value)| (name, value)))
        .envs(terms.env.iter().map(|(name, value)| (name, value)))
        .env(process_tree::MARK, &terms.mark)
        .env_remove(TOKEN_VARIABLE)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .current_dir(prepared.dir.path())
        .process_group(0)
        .spawn()?;
    Ok((child, pipe))
}

/// Reads until the pipe is closed by its last writer. Loses no output when it is dropped.
async fn read(pipe: &mut Receiver, output: &mut Output) {
    let mut buffer = [0; 8192];
    loop {
        // A script that writes without a pause keeps the pipe full; the budget lets the timeout
        // run.
        consume_budget().await;
        let result = match pipe.readable().await {
            Ok(()) => pipe.try_read(&mut buffer),
            Err(error) => Err(error),
        };
        match result {
            Ok(0) => return,
            Ok(count) => output.push(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(%error, "reading the script's output failed");
                return;
            }
        }
    }
}

fn judge(end: End, all_killed: bool, timeout: Duration, success_exit_codes: &[i32], output: String) -> Ended {
    let (outcome, exit_code, mut reason) = match end {
        End::Exited(Ok(status)) => match (status.code(), status.signal()) {
            (Some(0), _) => (ScriptOutcome::Success, Some(0), String::new()),
            (Some(code), _) if success_exit_codes.contains(&code) => {
                (ScriptOutcome::Success, Some(code), format!("exit code {code} counts as success"))
            }
            (Some(code), _) => (ScriptOutcome::Failed, Some(code), format!("exit code {code}")),
            (None, Some(signal)) => (ScriptOutcome::Failed, None, format!("killed by signal {signal}")),
            (None, None) => (ScriptOutcome::Failed, None, format!("ended as {status}")),
        },
        End::Exited(Err(error)) => {
            (ScriptOutcome::Unknown, None, format!("waiting for the script failed: {error}"))
        }
        End::TimedOut => {
            let reason = format!("still running after {} ms", timeout.as_millis());
            (ScriptOutcome::Timeout, None, reason)
        }
        // Not STOPPED, which no budget counts: no stop was requested, and a canary that takes its
        // desktop down is not a success.
        End::Halted(Halt::Agent) => {
            (ScriptOutcome::Unknown, None, "the agent was stopped while it ran".to_owned())
        }
        End::Halted(Halt::Request) => {
            (ScriptOutcome::Stopped, None, "stopped by request while it ran".to_owned())
        }
    };
    if !all_killed {
        reason.push_str("; some of its processes survived the kill");
    }
    Ended { outcome, exit_code, output, reason }
}
