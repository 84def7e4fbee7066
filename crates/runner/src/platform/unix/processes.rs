//! Processes of this machine, from `/proc`.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::ErrorKind,
    path::Path,
};

use nix::unistd::{Uid, User};
use rustix::{io::Errno, process::Pid};

use crate::{LeftProcess, MARK};

/// Maximum length of a command line in a result.
const MAX_COMMAND_BYTES: usize = 256;

/// Fields of `/proc/PID/stat`; see proc_pid_stat(5).
#[derive(Debug, Clone, Copy)]
pub(super) struct Stat {
    parent: i32,
    is_dead: bool,
    /// Whether the process may still show an environment: during an exec it shows none, and a
    /// script may exec repeatedly. Dead processes, kernel threads and processes without an
    /// environment have none to show.
    may_show_environ: bool,
}

/// Ids of all processes, in the kernel's order: parents mostly before their children.
pub(super) fn list() -> Option<Vec<Pid>> {
    let entries = fs::read_dir("/proc").ok()?;
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw);
    Some(entries.flatten().filter_map(pid).collect())
}

/// Reads the fields of a process; `None` if it has ended.
pub(super) fn stat(pid: Pid) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?)
}

fn parse_stat(stat: &str) -> Option<Stat> {
    const KERNEL_THREAD: u64 = 0x0020_0000;
    // After the name, which may contain any character: the third field and all later ones.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number =
        |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let is_dead = matches!(fields.first(), Some(&("Z" | "X")));
    let (flags, environ_starts, environ_ends) = (number(9), number(50), number(51));
    let has_none = environ_starts == environ_ends && environ_ends != 0;
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        is_dead,
        may_show_environ: !is_dead && flags & KERNEL_THREAD == 0 && !has_none,
    })
}

/// Living processes below `ancestor`.
pub(super) fn descendants(ancestor: Pid, listed: &[Pid]) -> HashSet<Pid> {
    let stats: HashMap<i32, Stat> =
        listed.iter().filter_map(|pid| Some((pid.as_raw_pid(), stat(*pid)?))).collect();
    let is_below = |pid: Pid| {
        let mut current = pid.as_raw_pid();
        // Parents form no circle, but the snapshot is not atomic and ids are reused.
        for _ in 0..stats.len() {
            let Some(stat) = stats.get(&current) else { return false };
            if stat.parent == ancestor.as_raw_pid() {
                return true;
            }
            current = stat.parent;
        }
        false
    };
    let is_alive = |pid: &Pid| stats.get(&pid.as_raw_pid()).is_some_and(|stat| !stat.is_dead);
    listed.iter().copied().filter(|pid| is_alive(pid) && is_below(*pid)).collect()
}

/// Environment of a process, as far as it is visible.
pub(super) enum Environ {
    /// The process has ended.
    Gone,
    /// The process belongs to another user.
    Foreign,
    /// The process has none to show and never will.
    Empty,
    /// The process may show one soon.
    Undecided,
    Shown(Vec<u8>),
}

impl Environ {
    pub(super) fn of(pid: Pid) -> Self {
        match fs::read(format!("/proc/{}/environ", pid.as_raw_pid())) {
            Ok(environ) if !environ.is_empty() => Self::Shown(environ),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Self::Foreign,
            Err(error) if error.kind() == ErrorKind::NotFound => Self::Gone,
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Self::Gone,
            // Empty, or temporarily unreadable.
            Ok(_) | Err(_) => match stat(pid) {
                Some(stat) if !stat.may_show_environ => Self::Empty,
                _ => Self::Undecided,
            },
        }
    }

    /// Whether the environment has this entry.
    pub(super) fn has(&self, entry: &[u8]) -> bool {
        matches!(self, Self::Shown(environ) if environ.split(|byte| *byte == 0).any(|shown| shown == entry))
    }
}

/// Ids of the executions that begin with one of `prefixes` and whose runner lives with this entry,
/// as `NAME=VALUE`, in its environment.
pub(super) fn runners(prefixes: &[String], entry: &str) -> Vec<String> {
    let mark = format!("{MARK}=");
    let id = |pid: Pid| {
        let Environ::Shown(environ) = Environ::of(pid) else { return None };
        let mut entries = environ.split(|byte| *byte == 0);
        let id = entries.find_map(|shown| str::from_utf8(shown).ok()?.strip_prefix(mark.as_str()))?;
        let is_wanted = prefixes.iter().any(|prefix| id.starts_with(prefix))
            && environ.split(|byte| *byte == 0).any(|shown| shown == entry.as_bytes())
            && is_runner(pid, id);
        is_wanted.then(|| id.to_owned())
    };
    let mut ids: Vec<String> = list().unwrap_or_default().into_iter().filter_map(id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Whether the last argument of a process is the run directory of this execution, as that of its
/// runner. The other processes of the execution have the same mark.
fn is_runner(pid: Pid, id: &str) -> bool {
    let arguments = fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())).unwrap_or_default();
    let arguments = String::from_utf8_lossy(&arguments);
    let last = arguments.trim_end_matches('\0').rsplit('\0').next();
    last.is_some_and(|last| Path::new(last).file_name().is_some_and(|name| name == id))
}

/// Describes a process; `None` if it has ended.
pub(super) fn describe(pid: Pid, survived_kill: bool) -> Option<LeftProcess> {
    let dir = format!("/proc/{}", pid.as_raw_pid());
    let status = fs::read_to_string(format!("{dir}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let uid: u32 = field("Uid:").split_whitespace().next()?.parse().ok()?;
    let arguments = fs::read(format!("{dir}/cmdline")).unwrap_or_default();
    let mut command = match String::from_utf8_lossy(&arguments).trim_end_matches('\0') {
        "" => format!("[{}]", field("Name:").trim()),
        arguments => arguments.replace(|character: char| character.is_control(), " "),
    };
    command.truncate(command.floor_char_boundary(MAX_COMMAND_BYTES));
    let user =
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    Some(LeftProcess { pid: pid.as_raw_pid().unsigned_abs(), command, user, survived_kill })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[test]
    fn child_of_a_child_is_a_descendant() {
        let mut child = Command::new("sh").args(["-c", "sleep 300 & wait"]).spawn().unwrap();
        let me = Pid::from_raw(id().cast_signed()).unwrap();
        let found = loop {
            let found = descendants(me, &list().unwrap());
            let commands: Vec<_> = found.iter().filter_map(|pid| describe(*pid, false)).collect();
            if let Some(sleep) = commands.into_iter().find(|process| process.command == "sleep 300") {
                break sleep;
            }
        };
        assert!(!found.user.is_empty());
        let sleep = Pid::from_raw(found.pid.cast_signed()).unwrap();
        rustix::process::kill_process(sleep, rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!descendants(me, &list().unwrap()).contains(&sleep));
    }

    #[test]
    fn name_with_a_parenthesis_does_not_shift_fields() {
        let mut fields = vec!["0"; 52];
        (fields[0], fields[1]) = ("S", "7");
        let stat = parse_stat(&format!("12 (a) b) {}", fields.join(" "))).unwrap();
        assert!(stat.parent == 7 && !stat.is_dead && stat.may_show_environ);
    }
}
