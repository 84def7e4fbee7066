//! The process of a script, as the agent reports it, and the processes that outlived it.

use serde::{Deserialize, Serialize};

use crate::{containment::Containment, limits};

/// Process that outlived its script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftProcess {
    /// Process id on the desktop.
    pub pid: u32,
    /// Command line, at most [`limits::MAX_LEFT_COMMAND_BYTES`].
    pub command: String,
    /// Name of its user, or the number of a user without a name.
    pub user: String,
    /// Whether the process was to be killed and survived.
    pub survived_kill: bool,
}

/// Facts about the process of a script. The default is that of a script that never started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessReport {
    /// Absolute path of the interpreter; `None` if the script never started.
    pub interpreter: Option<String>,
    /// Number of the signal that ended the script; its exit code is then 128 plus this number.
    pub signal: Option<u8>,
    /// Means of tracking its processes; `None` if the script never started.
    pub containment: Option<Containment>,
    /// Processes that were alive after its end, at most [`limits::MAX_LEFT_PROCESSES`].
    pub left_processes: Vec<LeftProcess>,
    /// Number of all processes that were alive after its end, named or not.
    pub left_processes_count: u32,
}

impl ProcessReport {
    /// Returns a sentence about the processes that outlived the script; `None` without any.
    pub fn left_sentence(&self) -> Option<String> {
        left_sentence(&self.left_processes, self.left_processes_count)
    }
}

/// Describes processes that outlived their script; `None` without any. `count` includes the
/// processes that are not named.
pub fn left_sentence(named: &[LeftProcess], count: u32) -> Option<String> {
    let count = count.max(u32::try_from(named.len()).unwrap_or(u32::MAX));
    if count == 0 {
        return None;
    }
    let processes = if count == 1 { "process" } else { "processes" };
    let fact = match named.iter().any(|process| process.survived_kill) {
        true => format!("{count} {processes} survived the kill"),
        false => format!("left {count} {processes} running"),
    };
    if named.is_empty() {
        return Some(fact);
    }
    let list = named.iter().map(|LeftProcess { pid, command, user, .. }| format!("{pid} {command} ({user})"));
    let list = list.collect::<Vec<_>>().join(", ");
    let unnamed = count as usize - named.len();
    let more = if unnamed > 0 { format!(" and {unnamed} more") } else { String::new() };
    Some(format!("{fact}: {list}{more}"))
}

/// Checks the number of a signal that a peer reports; `None` outside 1 to
/// [`limits::MAX_SIGNAL`].
pub fn signal(number: i32) -> Option<u8> {
    u8::try_from(number).ok().filter(|number| (1..=limits::MAX_SIGNAL).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(pid: u32, survived_kill: bool) -> LeftProcess {
        LeftProcess { pid, command: format!("sleep {pid}"), user: "root".into(), survived_kill }
    }

    #[test]
    fn left_processes_are_named_with_their_users() {
        let text = |named: &[LeftProcess], count| left_sentence(named, count);
        assert_eq!(text(&[], 0), None);
        assert_eq!(text(&[left(7, false)], 1).unwrap(), "left 1 process running: 7 sleep 7 (root)");
        assert_eq!(
            text(&[left(7, false), left(8, false)], 2).unwrap(),
            "left 2 processes running: 7 sleep 7 (root), 8 sleep 8 (root)"
        );
    }

    #[test]
    fn survivors_of_a_kill_are_called_survivors() {
        assert_eq!(
            left_sentence(&[left(7, true)], 1).unwrap(),
            "1 process survived the kill: 7 sleep 7 (root)"
        );
    }

    #[test]
    fn unnamed_processes_are_counted() {
        assert_eq!(left_sentence(&[], 3).unwrap(), "left 3 processes running");
        assert_eq!(
            left_sentence(&[left(7, false)], 40).unwrap(),
            "left 40 processes running: 7 sleep 7 (root) and 39 more"
        );
        // A count below the list is wrong; the list is right.
        assert_eq!(left_sentence(&[left(7, false)], 0), left_sentence(&[left(7, false)], 1));
    }

    #[test]
    fn signal_out_of_range_is_none() {
        assert_eq!((signal(9), signal(64)), (Some(9), Some(64)));
        for wrong in [i32::MIN, -9, 0, 65, 265, i32::MAX] {
            assert_eq!(signal(wrong), None, "{wrong}");
        }
    }
}
