//! How a command ended: its exit code.

use std::process::ExitCode;

use proto::admin::TaskStatus;

/// How a command ended. Each has an exit code of its own, so that scripts need not read what is
/// printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It did what it was asked for; a rollout that was followed succeeded everywhere.
    Success,
    /// A rollout ran to its end and something failed; or something of this machine, or of the
    /// control plane, failed.
    Failed,
    /// The command line makes no sense. clap ends with the same code.
    Misused,
    /// The gate halted the rollout that was followed.
    Halted,
    /// A person stopped the rollout that was followed, or its time was over.
    Stopped,
    /// The control plane refused it: not allowed, no such thing, against a rule, or against the
    /// present state.
    Refused,
    /// Nobody answers.
    Unreachable,
    /// The rollout that was followed runs on. As a shell has it of what Ctrl-C ended.
    Detached,
}

impl ExitStatus {
    /// Every way to end, in the order of the codes.
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

    /// The exit code.
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

    /// Of a task that has ended.
    pub(crate) const fn of_task(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Success => Self::Success,
            TaskStatus::Halted | TaskStatus::Halting => Self::Halted,
            TaskStatus::Stopped | TaskStatus::Stopping => Self::Stopped,
            // Whatever is not a success is none.
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
