//! Exit codes of the operator commands.

use std::process::ExitCode;

use proto::admin::TaskStatus;

/// Result of a command. Each result has its own exit code, so that scripts do not parse output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// The command succeeded; a followed rollout succeeded on every target.
    Success,
    /// A followed rollout ended with failures, or an error occurred on this machine or in the
    /// control plane.
    Failed,
    /// The command line is invalid. clap exits with the same code.
    Misused,
    /// The gate halted the followed rollout.
    Halted,
    /// An operator stopped the followed rollout, or it expired.
    Stopped,
    /// The control plane refused the request: not allowed, not found, invalid, or in conflict with
    /// the current state.
    Refused,
    /// The control plane does not answer.
    Unreachable,
    /// The user detached and the rollout continues. A shell reports the same code after Ctrl-C.
    Detached,
}

impl ExitStatus {
    /// All results, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Failed,
        Self::Misused,
        Self::Halted,
        Self::Stopped,
        Self::Refused,
        Self::Unreachable,
        Self::Detached,
    ];

    /// Returns the exit code, from 0 to 130.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Misused => 2,
            Self::Halted => 3,
            Self::Stopped => 4,
            Self::Refused => 5,
            Self::Unreachable => 6,
            Self::Detached => 130,
        }
    }

    /// Maps the status of an ended task to the result of the command.
    pub(crate) const fn of_task(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Success => Self::Success,
            TaskStatus::Halted | TaskStatus::Halting => Self::Halted,
            TaskStatus::Stopped | TaskStatus::Stopping => Self::Stopped,
            // Any other status counts as a failure.
            TaskStatus::Failed | TaskStatus::Unspecified | TaskStatus::Waiting | TaskStatus::Running => {
                Self::Failed
            }
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(ended: ExitStatus) -> Self {
        Self::from(ended.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_a_code_of_its_own_and_success_alone_has_0() {
        let codes: std::collections::BTreeSet<u8> = ExitStatus::ALL.iter().map(|it| it.code()).collect();
        assert_eq!(codes.len(), ExitStatus::ALL.len());
        assert_eq!(ExitStatus::ALL.iter().filter(|it| it.code() == 0).count(), 1);
    }

    #[test]
    fn only_a_task_that_succeeded_is_a_success() {
        let good: Vec<i32> = (0..=8)
            .filter(|&it| ExitStatus::of_task(TaskStatus::try_from(it).unwrap()) == ExitStatus::Success)
            .collect();
        assert_eq!(good, [i32::from(TaskStatus::Success)]);
    }
}
