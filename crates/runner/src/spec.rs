//! Specification of an execution, written by the agent.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Execution of one script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Id of the run, unique on the machine: the value of [`MARK`](crate::MARK), at most 128
    /// characters of `[A-Za-z0-9-]`.
    pub id: String,
    /// Absolute path of the interpreter.
    pub program: String,
    /// Arguments before the path of the script.
    pub args: Vec<String>,
    /// Absolute path of the script's file.
    pub script_file: PathBuf,
    /// Absolute path of the script's working directory.
    pub work_dir: PathBuf,
    /// The whole environment: nothing else is inherited.
    pub env: Vec<(String, String)>,
    /// Time limit of the script, by the monotonic clock.
    pub timeout_ms: u64,
    /// User that runs the script; `None` for the runner's own.
    pub user: Option<User>,
    /// Ends the processes that the script leaves behind; otherwise they live on.
    pub kill_left_processes: bool,
    /// Number of bytes kept of the start of the output.
    pub output_head_bytes: usize,
    /// Number of bytes kept of the end of the output.
    pub output_tail_bytes: usize,
}

/// Unix user with its groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}
