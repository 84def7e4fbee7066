//! Ending a script's processes, wherever they have gone.

use std::{collections::HashSet, fs, io::ErrorKind, thread, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal},
};

#[cfg(test)]
#[path = "process_tree_tests.rs"]
pub(crate) mod tests;

/// The variable by which every process of one execution is known.
pub(crate) const MARK: &str = "GRAYWAVE_EXECUTION";

/// What is killed may just have forked, so one looks again and again.
const ROUNDS: usize = 100;
/// Rounds in a row that must find nothing and leave nothing open.
const CLEAN_ROUNDS: usize = 8;
const POLL_INTERVAL: Duration = Duration::from_millis(5);

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
    let mut hunt = Hunt { wanted: format!("{MARK}={mark}").into_bytes(), ..Hunt::default() };
    let (mut clean, mut without_any) = (0, 0);
    for _ in 0..ROUNDS {
        let seen = hunt.round();
        without_any = if seen.marked { 0 } else { without_any + 1 };
        clean = if seen.marked || seen.open { 0 } else { clean + 1 };
        if clean == CLEAN_ROUNDS {
            return true;
        }
        // The killed need a moment to go, and may just have forked.
        thread::sleep(POLL_INTERVAL);
    }
    // On a machine where processes come and go all the time, no round leaves nothing open.
    without_any >= CLEAN_ROUNDS
}

/// What a round has seen.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Processes with the mark; each was killed, or was gone or another program before that.
    marked: bool,
    /// Processes of which nobody can tell: new and gone again, or just executing another program.
    open: bool,
}

#[derive(Debug, Default)]
struct Hunt {
    wanted: Vec<u8>,
    /// Who was there in the round before.
    before: HashSet<Pid>,
}

impl Hunt {
    /// Kills every process with the mark in its environment.
    fn round(&mut self) -> Seen {
        let mut seen = Seen::default();
        // Who cannot look has not seen that nothing is there.
        let Ok(processes) = fs::read_dir("/proc") else { return Seen { open: true, marked: true } };
        // In the order of their numbers, as the kernel lists them: parents before the children that they would mourn aloud.
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
        // A number may pass to another process between the look and the kill; a descriptor does not.
        let process = match pidfd_open(id, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return,
            opened => opened,
        };
        if !matches!(environ(id), Environ::Shown(environ) if carries(&environ, &self.wanted)) {
            return;
        }
        // Where the kernel has no such descriptors, or this process no more of them, there is only the number.
        let killed = match process {
            Ok(process) => pidfd_send_signal(&process, Signal::KILL),
            Err(_) => kill_process(id, Signal::KILL),
        };
        if let Err(error) = killed {
            tracing::debug!(%error, "a process could not be killed");
        }
    }
}

/// What a process shows of its environment.
enum Environ {
    /// It is gone.
    Gone,
    /// It is another user's, and so none of ours.
    Foreign,
    /// Nothing: it is dead, or the kernel's, or has none, or executes another program right now.
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
        // Not readable just now.
        Err(_) => Environ::Empty,
    }
}

fn carries(environ: &[u8], wanted: &[u8]) -> bool {
    environ.split(|byte| *byte == 0).any(|entry| entry == wanted)
}

/// Whether a process that showed no environment may have one all the same: while it executes another program it shows
/// none, and a script may do so over and over. The dead, the kernel's own, and those that have none, have none to show.
fn may_show_one_yet(id: Pid) -> bool {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_pid())) else { return true };
    // Behind the name, which may hold anything: the third field of proc(5) and all that follow.
    let Some((_, fields)) = stat.rsplit_once(')') else { return true };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number =
        |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let is_dead = matches!(fields.first(), Some(&("Z" | "X")));
    let (flags, environ_starts, environ_ends) = (number(9), number(50), number(51));
    let has_none = environ_starts == environ_ends && environ_ends != 0;
    !is_dead && flags & KERNEL_THREAD == 0 && !has_none
}
