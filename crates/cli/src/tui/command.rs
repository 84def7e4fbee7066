//! Commands of the full-screen view, and their results.

use proto::admin::{FailureGroup, StopMode, Task};

/// Command of a key, or of the screen itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Leave,
    Pause,
    Resume,
    /// Approves the wave with this number, which the question named.
    Approve(u32),
    Stop(StopMode),
    /// Reads the failures again; not bound to a key.
    Failures,
    /// Reads the task again; not bound to a key.
    Task,
}

/// Result of a command.
#[derive(Debug)]
pub(super) enum CommandResult {
    /// Confirmation, shown as a notice.
    Said(String),
    /// Error, shown as a notice.
    Refused(String),
    /// Current state of the task.
    Task(Box<Task>),
    /// The largest groups of failures.
    Failures(Vec<FailureGroup>),
}
