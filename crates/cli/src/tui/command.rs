//! What keys ask for, and what it came to.

use proto::admin::{FailureGroup, StopMode, Task};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Leave,
    Pause,
    Resume,
    Approve,
    Stop(StopMode),
    /// Not a key's: the failures are looked at again.
    Failures,
    /// Not a key's: the task is looked at again.
    Task,
}

/// What a command came to.
#[derive(Debug)]
pub(super) enum CommandResult {
    /// In words.
    Said(String),
    /// It was refused, in words.
    Refused(String),
    /// The task as it now stands.
    Task(Box<Task>),
    /// The largest groups of failures.
    Failures(Vec<FailureGroup>),
}
