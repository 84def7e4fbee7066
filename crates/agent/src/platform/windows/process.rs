//! Processes, and the events that end them.

use std::{io, process::ExitCode};

use tokio::{
    process::Command,
    signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown},
};

/// `CREATE_NO_WINDOW` and `CREATE_NEW_PROCESS_GROUP`: no key in the agent's terminal reaches a
/// runner.
const APART: u32 = 0x0800_0000 | 0x0000_0200;

/// Prepares a runner's process, which outlives the agent.
pub(crate) fn detach(command: &mut Command) {
    command.creation_flags(APART);
    // Most programs cannot load their libraries without these.
    let necessary = ["SystemRoot", "SystemDrive", "TEMP"];
    command.envs(necessary.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
}

/// Runs nothing: no process adopts others.
pub fn run_as_init() -> Option<io::Result<ExitCode>> {
    None
}

/// Returns a future that ends when this process is asked to end: Ctrl-C, Ctrl-Break, the close of
/// the console, or the stop of the machine.
///
/// # Errors
///
/// If a handler cannot be installed.
pub fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut pause) = (ctrl_c()?, ctrl_break()?);
    let (mut close, mut shutdown) = (ctrl_close()?, ctrl_shutdown()?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = pause.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
    })
}
