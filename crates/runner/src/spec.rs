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
    /// All arguments as the program reads them, for a program of Windows with rules of its own;
    /// replaces `args` and the path of the script.
    #[serde(default)]
    pub raw_args: Option<String>,
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

/// User that a script runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum User {
    /// User of Unix.
    Unix(UnixUser),
    /// User that is logged on, on Windows.
    Session(SessionUser),
}

/// Unix user with its groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixUser {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// User of a session on Windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionUser {
    /// Number of the session.
    pub session_id: u32,
    /// Security identifier of the user: another user may have the session at the start.
    pub sid: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_read_as_written() {
        let unix = User::Unix(UnixUser { uid: 7, gid: 8, groups: vec![9] });
        let session = User::Session(SessionUser { session_id: 2, sid: "S-1-5-21-1".to_owned() });
        let json = r#"{"uid":7,"gid":8,"groups":[9]}"#;
        assert_eq!(serde_json::to_string(&unix).unwrap(), json, "as before there were sessions");
        for user in [unix, session] {
            let json = serde_json::to_string(&user).unwrap();
            assert_eq!(serde_json::from_str::<User>(&json).unwrap(), user);
        }
    }
}
