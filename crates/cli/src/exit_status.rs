//! Exit codes of the operator commands.

use std::process::ExitCode;

use domain::Reason;
use proto::admin::TaskStatus;
use tonic::Code;

/// Result of a command. Each result has its own exit code, so that scripts do not parse output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// The command succeeded; a followed rollout succeeded on every target.
    Success,
    /// A followed rollout ended with failures, or an error occurred on this machine or in the
    /// control plane.
    Failed,
    /// The command line is invalid, by a check of this program or of the control plane. clap exits
    /// with the same code.
    Misused,
    /// The gate halted the followed rollout.
    Halted,
    /// An operator stopped the followed rollout, or it expired.
    Stopped,
    /// The control plane refused a valid request: not allowed by a policy or a rule of the project,
    /// not found, or in conflict with the current state.
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

    /// Maps a refusal of the control plane to the result of the command. `reason` is `None` if this
    /// version does not know the reason.
    pub(crate) fn of_refusal(code: Code, reason: Option<Reason>) -> Self {
        match code {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Self::Unreachable,
            Code::Internal | Code::Unknown | Code::DataLoss | Code::Ok | Code::Aborted => Self::Failed,
            Code::InvalidArgument | Code::OutOfRange if reason.is_some_and(Reason::is_guardrail) => {
                Self::Refused
            }
            Code::InvalidArgument | Code::OutOfRange => Self::Misused,
            Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Unauthenticated => Self::Refused,
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
    use domain::ErrorKind;

    use super::*;

    #[test]
    fn every_ending_has_a_code_of_its_own_and_success_alone_has_0() {
        let codes: std::collections::BTreeSet<u8> = ExitStatus::ALL.iter().map(|it| it.code()).collect();
        assert_eq!(codes.len(), ExitStatus::ALL.len());
        assert_eq!(ExitStatus::ALL.iter().filter(|it| it.code() == 0).count(), 1);
    }

    #[test]
    fn refusal_of_what_was_typed_is_a_mistake_and_of_policy_is_not() {
        for &reason in Reason::ALL {
            let expected = match reason.kind() {
                ErrorKind::Invalid if reason.is_guardrail() => ExitStatus::Refused,
                ErrorKind::Invalid => ExitStatus::Misused,
                ErrorKind::Unavailable => ExitStatus::Unreachable,
                ErrorKind::Internal => ExitStatus::Failed,
                _ => ExitStatus::Refused,
            };
            let status = ExitStatus::of_refusal(proto::code(reason), Some(reason));
            assert_eq!(status, expected, "{reason:?}");
        }
        assert_eq!(ExitStatus::of_refusal(Code::InvalidArgument, None), ExitStatus::Misused);
    }

    #[test]
    fn only_a_task_that_succeeded_is_a_success() {
        let good: Vec<i32> = (0..=8)
            .filter(|&it| ExitStatus::of_task(TaskStatus::try_from(it).unwrap()) == ExitStatus::Success)
            .collect();
        assert_eq!(good, [i32::from(TaskStatus::Success)]);
    }
}
