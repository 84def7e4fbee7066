//! Processes and signals.

use std::io;

use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

/// Prepares a runner's process, which outlives the agent. The runner begins a session of its own.
pub(crate) fn detach(command: &mut Command) {
    command.current_dir("/");
}

/// Returns a future that ends when this process is asked to end: SIGTERM or SIGINT.
///
/// # Errors
///
/// If a signal handler cannot be installed.
pub fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
