//! Result of an execution, written by the runner.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Maximum number of processes that a result names.
pub const MAX_LEFT_PROCESSES: usize = 16;

/// Result of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How the script ended.
    pub end: End,
    /// Time from the start of the script to its end, by the monotonic clock.
    pub elapsed_ms: u64,
    /// How its processes were tracked.
    pub containment: Containment,
    /// First processes that outlived the script or its kill.
    #[serde(default)]
    pub left_processes: Vec<LeftProcess>,
    /// Number of all these processes.
    #[serde(default)]
    pub left_processes_count: u32,
    /// Kept output as text. It follows the other fields in the file, and is not part of the JSON.
    #[serde(skip)]
    pub output: String,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum End {
    /// The script exited by itself.
    Exited {
        /// Exit code.
        code: i32,
    },
    /// A signal ended the script, and the runner did not send it.
    Signaled {
        /// Number of the signal.
        signal: i32,
    },
    /// The script still ran at its time limit and was killed.
    TimedOut,
    /// The script was killed because of a stop request.
    Stopped,
    /// The script was killed because the agent ends its scripts.
    AgentEnded,
    /// The script was killed because the machine or the container stops.
    MachineStopped,
    /// The script could not be started.
    NotStarted {
        /// Cause, for people.
        reason: String,
    },
}

/// How the processes of an execution are tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Containment {
    /// A cgroup of its own.
    Cgroup,
    /// A job object of its own, on Windows.
    Job,
    /// Descent from the runner, and a mark in the environment.
    Mark,
}

impl Containment {
    /// Name in records and in the facts of a desktop.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cgroup => "CGROUP",
            Self::Job => "JOB",
            Self::Mark => "MARK",
        }
    }
}

/// Process that outlived its script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftProcess {
    /// Process id at the time of the result.
    pub pid: u32,
    /// Command line, at most 256 bytes.
    pub command: String,
    /// User name, or the number of a user without a name.
    pub user: String,
    /// Whether the process was to be killed and survived.
    pub survived_kill: bool,
}

impl fmt::Display for LeftProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.pid, self.command, self.user)
    }
}
