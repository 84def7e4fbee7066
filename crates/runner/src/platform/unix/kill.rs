//! Kills all processes of an execution, including those that left its process group.

use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, pidfd_send_signal, wait,
    },
};

use super::{
    cgroup::Cgroup,
    processes::{self, Environ},
};
use crate::{LeftProcess, MARK, MAX_LEFT_PROCESSES};

#[cfg(test)]
#[path = "kill_tests.rs"]
mod tests;

/// Time limit. A process may fork just before it is killed, and one in an uninterruptible sleep
/// ends late or never.
const TIME_LIMIT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How the processes of an execution are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// Descent from this process, which is the runner and adopts orphans, or the mark.
    Descendants,
    /// The mark alone, after the death of the runner.
    Marked,
}

impl Search {
    /// Number of consecutive rounds without a process of the execution that end the search.
    const fn clean_rounds(self) -> usize {
        match self {
            // A descendant stays one, so one snapshot more than a fork can escape is enough.
            Self::Descendants => 2,
            // A process without a visible environment may show its mark later.
            Self::Marked => 8,
        }
    }
}

/// Kills all processes of an execution and returns the survivors.
pub(super) fn kill(search: Search, id: &str, cgroup: Option<&Cgroup>) -> Vec<LeftProcess> {
    let deadline = Instant::now() + TIME_LIMIT;
    let mut hunt = Hunt::new(search, id);
    let wanted_rounds = search.clean_rounds();
    let (mut clean, mut without_any) = (0, 0);
    loop {
        if let Some(cgroup) = cgroup {
            cgroup.kill();
        }
        let seen = hunt.round(cgroup);
        if let Some(cgroup) = cgroup {
            cgroup.thaw();
        }
        if search == Search::Descendants {
            while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        }
        without_any = if seen.found.is_empty() { without_any + 1 } else { 0 };
        clean = if seen.found.is_empty() && !seen.open { clean + 1 } else { 0 };
        // On a machine with many short-lived processes, every round has undecided ones.
        let is_over = Instant::now() >= deadline;
        if clean >= wanted_rounds || (is_over && without_any >= wanted_rounds) {
            return Vec::new();
        }
        if is_over {
            return seen.found.iter().filter_map(|pid| processes::describe(*pid, true)).collect();
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Processes of an execution that are alive; empty if its runner has no descendants.
pub(super) fn alive(cgroup: Option<&Cgroup>) -> (Vec<LeftProcess>, u32) {
    let me = getpid();
    let mut found = processes::list().map(|listed| processes::descendants(me, &listed)).unwrap_or_default();
    found.extend(cgroup.map(Cgroup::processes).unwrap_or_default());
    found.remove(&me);
    let mut found: Vec<LeftProcess> =
        found.into_iter().filter_map(|pid| processes::describe(pid, false)).collect();
    found.sort_by_key(|process| process.pid);
    let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
    found.truncate(MAX_LEFT_PROCESSES);
    (found, count)
}

/// Result of one round.
#[derive(Debug, Default)]
struct Seen {
    /// Processes of the execution that were alive; each was killed, or refused it.
    found: Vec<Pid>,
    /// Whether an undecided process was found: new and already ended, or just executing another
    /// program.
    open: bool,
}

#[derive(Debug)]
struct Hunt {
    search: Search,
    wanted: Vec<u8>,
    /// Processes seen in the previous round.
    before: HashSet<Pid>,
}

impl Hunt {
    fn new(search: Search, id: &str) -> Self {
        Self { search, wanted: format!("{MARK}={id}").into_bytes(), before: HashSet::new() }
    }

    /// Kills every process of the execution that it finds.
    fn round(&mut self, cgroup: Option<&Cgroup>) -> Seen {
        let me = getpid();
        // Without a process list, nothing is certain.
        let Some(listed) = processes::list() else { return Seen { open: true, found: Vec::new() } };
        let mut contained: HashSet<Pid> =
            cgroup.map(Cgroup::processes).unwrap_or_default().into_iter().collect();
        if self.search == Search::Descendants {
            contained.extend(processes::descendants(me, &listed));
        }
        let mut seen = Seen::default();
        let is_first = self.before.is_empty();
        for pid in listed.iter().copied().filter(|pid| *pid != me) {
            let environ = Environ::of(pid);
            match &environ {
                Environ::Gone => seen.open |= !is_first && !self.before.contains(&pid),
                Environ::Undecided => seen.open = true,
                Environ::Foreign | Environ::Empty | Environ::Shown(_) => {}
            }
            let is_its_own = contained.contains(&pid) || environ.has(&self.wanted);
            if is_its_own && self.kill(pid, contained.contains(&pid)) {
                seen.found.push(pid);
            }
        }
        self.before = listed.into_iter().collect();
        seen
    }

    /// Kills a process. False if it has ended or is not part of the execution.
    fn kill(&self, pid: Pid, is_contained: bool) -> bool {
        // An id may be reused between the check and the kill; a descriptor is not.
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return false,
            opened => opened,
        };
        if !is_contained && !Environ::of(pid).has(&self.wanted) {
            return false;
        }
        // Without pidfd support, or without free descriptors, the id must do.
        let killed = match process {
            Ok(process) => pidfd_send_signal(&process, Signal::KILL),
            Err(_) => kill_process(pid, Signal::KILL),
        };
        killed != Err(Errno::SRCH)
    }
}
