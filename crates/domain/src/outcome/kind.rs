//! Outcomes: the end of a script on a desktop, the failures among them, and their words in the API.

use serde::{Deserialize, Serialize};

use crate::string_enum::string_enum;

/// The single final outcome of a script on a target, and of a target as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Exit code 0.
    Success,
    /// Exit code other than 0, or killed by a signal.
    Failed,
    /// Still running at `execution_timeout`; the process tree was killed.
    Timeout,
    /// Not reached before the delivery deadline, and certainly never delivered to the agent.
    Undelivered,
    /// Refused by the agent: wrong platform, invalid signature, or policy.
    Rejected,
    /// Started, or possibly started, without a known end.
    Unknown,
    /// Every script succeeded, but the desktop did not come back in time: with another boot id
    /// after its reboot, or with the agent version that the task requires.
    NotReturned,
    /// Ended by a person or a halt.
    Stopped,
    /// Never admitted because the task halted, was stopped or expired; or an earlier script of the
    /// target failed.
    Skipped,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::Failed,
        Self::Timeout,
        Self::Undelivered,
        Self::Rejected,
        Self::Unknown,
        Self::NotReturned,
        Self::Stopped,
        Self::Skipped,
    ];

    /// Returns whether a target with this outcome counts as a failure, unless its task overrides
    /// it.
    pub const fn counts_as_failure(self) -> bool {
        match self {
            Self::Failed
            | Self::Timeout
            | Self::Undelivered
            | Self::Rejected
            | Self::Unknown
            | Self::NotReturned => true,
            Self::Success | Self::Stopped | Self::Skipped => false,
        }
    }

    /// Returns the word in SQL, proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
            Self::Undelivered => "UNDELIVERED",
            Self::Rejected => "REJECTED",
            Self::Unknown => "UNKNOWN",
            Self::NotReturned => "NOT_RETURNED",
            Self::Stopped => "STOPPED",
            Self::Skipped => "SKIPPED",
        }
    }

    /// Returns `status` and `result_code` of a record in the API. Only failures have a result code.
    pub const fn status_and_result_code(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Success => ("SUCCESS", None),
            Self::Failed => ("FAILED", Some("EXIT_CODE")),
            Self::Timeout => ("FAILED", Some("TIMEOUT")),
            Self::Undelivered => ("FAILED", Some("UNDELIVERED")),
            Self::Rejected => ("FAILED", Some("REJECTED")),
            Self::Unknown => ("FAILED", Some("UNKNOWN")),
            Self::NotReturned => ("FAILED", Some("NOT_RETURNED")),
            Self::Stopped => ("STOPPED", None),
            Self::Skipped => ("SKIPPED", None),
        }
    }

    /// Returns the outcome of a target from its scripts, in order: the first outcome other than
    /// SUCCESS decides. Without any script it returns UNKNOWN, but such targets do not exist.
    pub fn of_target(scripts: impl IntoIterator<Item = Self>) -> Self {
        let mut seen = None;
        for outcome in scripts {
            if outcome != Self::Success {
                return outcome;
            }
            seen = Some(outcome);
        }
        seen.unwrap_or(Self::Unknown)
    }
}

string_enum!(Outcome, "outcome");

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 3 of the design, row by row.
    #[test]
    fn what_counts_and_what_the_api_says() {
        let table = [
            (Outcome::Success, false, "SUCCESS", None),
            (Outcome::Failed, true, "FAILED", Some("EXIT_CODE")),
            (Outcome::Timeout, true, "FAILED", Some("TIMEOUT")),
            (Outcome::Undelivered, true, "FAILED", Some("UNDELIVERED")),
            (Outcome::Rejected, true, "FAILED", Some("REJECTED")),
            (Outcome::Unknown, true, "FAILED", Some("UNKNOWN")),
            (Outcome::NotReturned, true, "FAILED", Some("NOT_RETURNED")),
            (Outcome::Stopped, false, "STOPPED", None),
            (Outcome::Skipped, false, "SKIPPED", None),
        ];
        assert_eq!(table.map(|row| row.0), Outcome::ALL);
        for (outcome, counts, status, code) in table {
            assert_eq!(outcome.counts_as_failure(), counts, "{outcome}");
            assert_eq!(outcome.status_and_result_code(), (status, code), "{outcome}");
            assert_eq!(outcome.as_str().parse::<Outcome>().unwrap(), outcome);
        }
    }

    #[test]
    fn the_first_script_that_is_no_success_decides_over_the_target() {
        use Outcome::{Failed, Skipped, Success, Timeout, Unknown};
        assert_eq!(Outcome::of_target([Success, Success]), Success);
        assert_eq!(Outcome::of_target([Success, Timeout, Skipped]), Timeout);
        assert_eq!(Outcome::of_target([Failed, Skipped]), Failed);
        assert_eq!(Outcome::of_target([]), Unknown, "no outcome is not a success");
    }
}
