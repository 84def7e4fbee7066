//! Files in a run directory, and the claim of a runner.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Names of the files in a run directory.
#[derive(Debug)]
pub struct Files;

impl Files {
    /// [`Spec`] as JSON.
    pub const SPEC: &str = "spec.json";
    /// File that the runner locks for life.
    pub const LOCK: &str = "lock";
    /// [`Claim`] as JSON; created once, before the script starts.
    pub const CLAIM: &str = "claimed";
    /// [`Ended`]: a line of JSON, then the output.
    pub const RESULT: &str = "result";
    /// Result before its rename.
    pub const NEW_RESULT: &str = "result.new";
    /// Unix socket of the runner.
    pub const SOCKET: &str = "socket";
    /// Cause of a runner's failure, for people.
    pub const ERROR: &str = "error";
}

/// Claim of a runner: the script may have started from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Boot of the machine, from the kernel; empty if unknown.
    pub boot_id: String,
    /// Path of the execution's cgroup; `None` without one.
    pub cgroup: Option<PathBuf>,
}
