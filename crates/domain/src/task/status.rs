//! The life cycle of a task.

use crate::{outcome::Outcome, string_enum::string_enum, tally::Tally};

/// Status of a task. The published API has fewer words: see [`TaskStatus::api_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    /// Accepted: the plan and the targets are stored.
    Waiting,
    /// Its first wave has opened.
    Running,
    /// The gate halted the task. Delivered targets still end.
    Halting,
    /// A person stopped the task. Delivered targets still end, or are killed.
    Stopping,
    /// Ended: every record is a success.
    Success,
    /// Ended: every wave ran, and some records are not a success.
    Failed,
    /// Ended: the gate halted the task.
    Halted,
    /// Ended: a person stopped the task.
    Stopped,
}

impl TaskStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Running,
        Self::Halting,
        Self::Stopping,
        Self::Success,
        Self::Failed,
        Self::Halted,
        Self::Stopped,
    ];

    /// Returns the word in SQL, proto and the native API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Halting => "HALTING",
            Self::Stopping => "STOPPING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Halted => "HALTED",
            Self::Stopped => "STOPPED",
        }
    }

    /// Returns the word in the compatible API: WAITING, RUNNING, SUCCESS or FAILED.
    pub const fn api_status(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Running | Self::Halting | Self::Stopping => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed | Self::Halted | Self::Stopped => "FAILED",
        }
    }

    /// Returns the word in the compatible API's list of pool tasks, which differs from all other
    /// calls: INIT, RUNNING, FINISH or FAILED.
    pub const fn pool_status(self) -> &'static str {
        match self {
            Self::Waiting => "INIT",
            Self::Running | Self::Halting | Self::Stopping => "RUNNING",
            Self::Success => "FINISH",
            Self::Failed | Self::Halted | Self::Stopped => "FAILED",
        }
    }

    /// Returns whether the task has ended and cannot change any more.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Halted | Self::Stopped)
    }

    /// Returns whether the task admits no further target.
    pub const fn admits_no_more(self) -> bool {
        self.is_ended() || matches!(self, Self::Halting | Self::Stopping)
    }

    /// Returns the final status of a task whose waves all ran, from the tally over all waves.
    pub fn of_finished(all_waves: &Tally) -> Self {
        if all_waves.get(Outcome::Success) == all_waves.finished() { Self::Success } else { Self::Failed }
    }
}

string_enum!(TaskStatus, "status");

/// Record counts of a task's list entry (script x desktop), as the API defines them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Number of SUCCESS records.
    pub success_num: u64,
    /// Number of records that ended otherwise, except SKIPPED; STOPPED counts here.
    pub failed_num: u64,
    /// Number of SKIPPED records, including those that a task without further admission will never
    /// reach.
    pub skip_num: u64,
}

impl RecordCounts {
    /// Computes the counts from the tally of stored records. `withdrawn_targets` are those that the
    /// task will never admit.
    pub fn new(stored: &Tally, withdrawn_targets: u64, scripts: u64) -> Self {
        let success_num = u64::from(stored.get(Outcome::Success));
        let skipped = u64::from(stored.get(Outcome::Skipped));
        Self {
            success_num,
            failed_num: u64::from(stored.finished()) - success_num - skipped,
            skip_num: skipped + withdrawn_targets * scripts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_a_success_only_when_everything_is() {
        let tally = |outcomes: &[Outcome]| outcomes.iter().copied().collect::<Tally>();
        assert_eq!(TaskStatus::of_finished(&tally(&[Outcome::Success; 3])), TaskStatus::Success);
        for outcome in Outcome::ALL.into_iter().skip(1) {
            assert_eq!(
                TaskStatus::of_finished(&tally(&[Outcome::Success, outcome])),
                TaskStatus::Failed,
                "{outcome}"
            );
        }
    }

    #[test]
    fn counts_are_over_records_and_stopped_counts_as_failed() {
        let stored: Tally = Outcome::ALL.into_iter().collect();
        let counts = RecordCounts::new(&stored, 16, 2);
        assert_eq!(counts, RecordCounts { success_num: 1, failed_num: 7, skip_num: 33 });
    }

    #[test]
    fn every_status_has_its_word_and_one_of_the_four_of_the_api() {
        for status in TaskStatus::ALL {
            assert_eq!(status.as_str().parse::<TaskStatus>().unwrap(), status);
            assert!(["WAITING", "RUNNING", "SUCCESS", "FAILED"].contains(&status.api_status()));
            assert_eq!(status.is_ended(), !["WAITING", "RUNNING"].contains(&status.api_status()));
            assert_eq!(status.is_ended(), !["INIT", "RUNNING"].contains(&status.pool_status()));
        }
    }
}
