//! The agent as process 1 of a container: a small process that forwards signals and reaps orphans,
//! with the agent as its child.

use std::{
    env, io,
    process::{Command, ExitCode},
};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
};

/// Runs this program again as a child and returns its exit code, if this is process 1; `None`
/// otherwise.
///
/// The kernel gives every orphan of the container to process 1, and a process that nobody waits for
/// stays in the process table.
///
/// # Errors
///
/// If the child cannot be started.
pub fn run_as_init() -> Option<io::Result<ExitCode>> {
    (getpid() == Pid::INIT).then(init)
}

fn init() -> io::Result<ExitCode> {
    // Registered before the child exists: none of its signals is lost.
    let mut signals = Signals::new([SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2])?;
    let agent = Command::new(env::current_exe()?).args(env::args_os().skip(1)).spawn()?;
    let agent = Pid::from_raw(agent.id().cast_signed()).ok_or_else(|| io::Error::other("no process id"))?;
    for signal in signals.forever() {
        if signal != SIGCHLD {
            if let Some(signal) = Signal::from_named_raw(signal) {
                // Fails only if the agent has ended, which the next SIGCHLD tells.
                let (Ok(()) | Err(_)) = kill_process(agent, signal);
            }
            continue;
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == agent {
                let code =
                    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                return Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)));
            }
        }
    }
    Ok(ExitCode::FAILURE)
}
