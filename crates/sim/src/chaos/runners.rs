//! Runner processes of a desktop, and their scripts.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// Signals every runner whose run directory is below this data directory.
pub(crate) fn signal_all(data_dir: &Path, signal: Signal) -> anyhow::Result<()> {
    // A runner works in its run directory, and no other process does.
    signal_below(&data_dir.join("runs"), signal)
}

/// Kills every runner and every script that works below this data directory.
pub(crate) fn kill_all(data_dir: &Path) -> anyhow::Result<()> {
    signal_below(data_dir, Signal::KILL)
}

/// Signals every process whose working directory is below this directory; none if the directory is
/// lost.
fn signal_below(directory: &Path, signal: Signal) -> anyhow::Result<()> {
    let Ok(directory) = directory.canonicalize() else { return Ok(()) };
    for process in fs::read_dir("/proc")?.flatten() {
        let Some(pid) =
            process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        if fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&directory)) {
            // One that has just ended is as good.
            kill_process(pid, signal).ok();
        }
    }
    Ok(())
}
