//! Kills all processes of a script, including those that left its group.

use std::{collections::HashSet, fs, io::ErrorKind, thread, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal},
};

#[cfg(test)]
#[path = "process_tree_tests.rs"]
pub(crate) mod tests;

/// Environment variable that marks every process of one execution.
pub(crate) const MARK: &str = "GRAYWAVE_EXECUTION";

/// Maximum number of rounds: a process may fork just before it is killed.
const ROUNDS: usize = 100;
/// Number of consecutive rounds that must find no marked and no undecided process.
const CLEAN_ROUNDS: usize = 8;
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Kills a process group that is not yet reaped, then every process with the mark. False if marked
/// processes may remain. Blocks.
///
/// Killing the group is not enough, because a daemon leaves it. The mark in the environment remains
/// unless a process clears it.
pub(crate) fn kill(group: Option<u32>, mark: &str) -> bool {
    let group = group.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::debug!(%error, mark, "killing the process group failed");
    }
    let mut hunt = Hunt { wanted: format!("{MARK}={mark}").into_bytes(), ..Hunt::default() };
    let (mut clean, mut without_any) = (0, 0);
    for _ in 0..ROUNDS {
        let seen = hunt.round();
        without_any = if seen.marked { 0 } else { without_any + 1 };
        clean = if seen.marked || seen.open { 0 } else { clean + 1 };
        if clean == CLEAN_ROUNDS {
            return true;
        }
        // Killed processes need a moment to end, and may have forked just before.
        thread::sleep(POLL_INTERVAL);
    }
    // On a machine with many short-lived processes, every round has undecided ones.
    without_any >= CLEAN_ROUNDS
}

/// Result of one round.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Whether a marked process was found; each was killed, or had ended or changed its program
    /// before.
    marked: bool,
    /// Whether an undecided process was found: new and already ended, or just executing another
    /// program.
    open: bool,
}

#[derive(Debug, Default)]
struct Hunt {
    wanted: Vec<u8>,
    /// Processes seen in the previous round.
    before: HashSet<Pid>,
}

impl Hunt {
    /// Kills every process with the mark in its environment.
    fn round(&mut self) -> Seen {
        let mut seen = Seen::default();
        // Without a process list, nothing is certain.
        let Ok(processes) = fs::read_dir("/proc") else { return Seen { open: true, marked: true } };
        // In kernel order, by id: parents before the children whose deaths they might report.
        let listed: Vec<Pid> = processes
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
            .collect();
        let ids: HashSet<Pid> = listed.iter().copied().collect();
        let is_first = self.before.is_empty();
        for id in listed {
            match environ(id) {
                Environ::Gone => seen.open |= !is_first && !self.before.contains(&id),
                Environ::Foreign => {}
                Environ::Empty => seen.open |= may_show_one_yet(id),
                Environ::Shown(environ) => {
                    if carries(&environ, &self.wanted) {
                        seen.marked = true;
                        self.kill(id);
                    }
                }
            }
        }
        self.before = ids;
        seen
    }

    fn kill(&self, id: Pid) {
        // An id may be reused between the check and the kill; a descriptor is not.
        let process = match pidfd_open(id, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return,
            opened => opened,
        };
        if !matches!(environ(id), Environ::Shown(environ) if carries(&environ, &self.wanted)) {
            return;
        }
        // Without pidfd support, or without free descriptors, the id must do.
        let killed = match process {
            Ok(process) => pidfd_send_signal(&process, Signal::KILL),
            Err(_) => kill_process(id, Signal::KILL),
        };
        if let Err(error) = killed {
            tracing::debug!(%error, "killing a process failed");
        }
    }
}

/// Environment of a process, as far as it is visible.
enum Environ {
    /// The process has ended.
    Gone,
    /// The process belongs to another user, so it is not part of the script.
    Foreign,
    /// Empty: the process is dead, a kernel thread, has no environment, or is executing another
    /// program.
    Empty,
    Shown(Vec<u8>),
}

fn environ(id: Pid) -> Environ {
    match fs::read(format!("/proc/{}/environ", id.as_raw_pid())) {
        Ok(environ) if environ.is_empty() => Environ::Empty,
        Ok(environ) => Environ::Shown(environ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Environ::Foreign,
        Err(error) if error.kind() == ErrorKind::NotFound => Environ::Gone,
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Environ::Gone,
        // Temporarily unreadable.
        Err(_) => Environ::Empty,
    }
}

fn carries(environ: &[u8], wanted: &[u8]) -> bool {
    environ.split(|byte| *byte == 0).any(|entry| entry == wanted)
}

/// Whether a process without a visible environment may still have one: during an exec it shows
/// none, and a script may exec repeatedly. Dead processes, kernel threads and processes without an
/// environment have none to show.
fn may_show_one_yet(id: Pid) -> bool {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_pid())) else { return true };
    // After the name, which may contain any character: the third field of proc(5) and all later
    // ones.
    let Some((_, fields)) = stat.rsplit_once(')') else { return true };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number =
        |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let is_dead = matches!(fields.first(), Some(&("Z" | "X")));
    let (flags, environ_starts, environ_ends) = (number(9), number(50), number(51));
    let has_none = environ_starts == environ_ends && environ_ends != 0;
    !is_dead && flags & KERNEL_THREAD == 0 && !has_none
}
