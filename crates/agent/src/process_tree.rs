//! Ending a script's processes, wherever they have gone.

use std::{fs, thread, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal},
};

#[cfg(test)]
pub(crate) mod tests;

/// The variable by which every process of one execution is known.
pub(crate) const MARK: &str = "GRAYWAVE_EXECUTION";

const ROUNDS: usize = 100;
/// Rounds in a row that must find nothing. One is not enough: while a process executes another program its
/// environment reads as empty, and a script may do so over and over.
const CLEAN_ROUNDS: usize = 8;
const PAUSE: Duration = Duration::from_millis(5);

/// Kills a process group that is not yet reaped, then everything that carries the mark, until none is left; false
/// when some still are. Blocks.
///
/// The group alone is not enough: a daemon leaves it. The mark in the environment stays with all that do not
/// clear it.
pub(crate) fn kill(group: Option<u32>, mark: &str) -> bool {
    let group = group.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::debug!(%error, mark, "the process group could not be killed");
    }
    let wanted = format!("{MARK}={mark}");
    let mut clean = 0;
    for _ in 0..ROUNDS {
        clean = if kill_marked(wanted.as_bytes()) == 0 { clean + 1 } else { 0 };
        if clean == CLEAN_ROUNDS {
            return true;
        }
        // The killed need a moment to go, and may just have forked.
        thread::sleep(PAUSE);
    }
    false
}

/// Kills every process with that entry in its environment; returns how many there were.
fn kill_marked(wanted: &[u8]) -> usize {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let mut found = 0;
    for entry in processes.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(id) = id else { continue };
        if !carries(id, wanted) {
            continue;
        }
        // A number may pass to another process between the look and the kill; a descriptor does not.
        let process = match pidfd_open(id, PidfdFlags::empty()) {
            Err(Errno::SRCH) => continue,
            opened => opened,
        };
        if !carries(id, wanted) {
            continue;
        }
        found += 1;
        // Where the kernel has no such descriptors, or this process no more of them, there is only the number.
        let killed = match process {
            Ok(process) => pidfd_send_signal(&process, Signal::KILL),
            Err(_) => kill_process(id, Signal::KILL),
        };
        if let Err(error) = killed {
            tracing::debug!(%error, "a process could not be killed");
        }
    }
    found
}

fn carries(id: Pid, wanted: &[u8]) -> bool {
    // A process that is gone or another user's is none of ours; one that is dead has no environment.
    fs::read(format!("/proc/{}/environ", id.as_raw_pid()))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == wanted))
}
