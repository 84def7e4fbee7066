//! Runner processes of a desktop.

use std::{fs, path::Path};

use rustix::process::{Pid, Signal, kill_process};

/// Signals every runner whose run directory is below this data directory.
pub(crate) fn signal_all(data_dir: &Path, signal: Signal) -> anyhow::Result<()> {
    let runs = data_dir.canonicalize()?.join("runs");
    for process in fs::read_dir("/proc")?.flatten() {
        let Some(pid) =
            process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        // A runner works in its run directory, and no other process does.
        if fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&runs)) {
            // One that has just ended is as good.
            kill_process(pid, signal).ok();
        }
    }
    Ok(())
}
