//! Records: their ids, and the derived status of records that are not stored.
//!
//! A record's row is written once, when its target ends. Until then, and for targets that are never
//! admitted, the record is derived from the whereabouts of its target. A halt over a million
//! desktops therefore writes no rows for them.

use std::{fmt, str::FromStr};

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Reason, Timestamp, batching::StartedScript, error::shorten, ids::TaskId, outcome::Outcome,
    task::TaskStatus,
};

/// One script on one target in one attempt. Its text form is the record id in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// Id of the task.
    pub task_id: TaskId,
    /// Place of the target in the plan, from 0.
    pub ordinal: u32,
    /// Place of the script in the task, from 0.
    pub script: u16,
    /// Attempt of the task, from 1.
    pub attempt: u16,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.task_id, self.ordinal, self.script, self.attempt)
    }
}

impl FromStr for RecordId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::new(Reason::RecordNotFound, format!("record {:?} does not exist", shorten(text)));
        let parts: Vec<&str> = text.split('-').collect();
        let &[task_id, ordinal, script, attempt] = parts.as_slice() else { return Err(bad()) };
        Ok(Self {
            task_id: task_id.parse().map_err(|_| bad())?,
            ordinal: ordinal.parse().map_err(|_| bad())?,
            script: script.parse().map_err(|_| bad())?,
            attempt: attempt.parse().map_err(|_| bad())?,
        })
    }
}

/// Whereabouts of a target without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnendedState {
    /// In no batch, and not deferred.
    Nowhere,
    /// In a ready batch, or deferred.
    Queued,
    /// In a leased batch.
    Leased,
    /// In no batch yet, and a stop of this script waits for its admission.
    Stopped,
    /// In no batch yet, and a stop of an earlier script waits for its admission.
    BehindStopped,
    /// The script succeeded in the original task of a retry, wherever the target is now.
    DoneEarlier,
}

/// Status of a record, with the outcome of an ended one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordStatus {
    /// Not started.
    Waiting,
    /// Leased to a worker.
    Running,
    /// Ended with this outcome.
    Ended(Outcome),
}

impl RecordStatus {
    /// Derives the status from the stored outcome, the whereabouts of the target, and the task.
    pub fn of(stored: Option<Outcome>, place: UnendedState, task: TaskStatus) -> Self {
        match (stored, place) {
            (Some(outcome), _) => Self::Ended(outcome),
            (None, UnendedState::DoneEarlier) => Self::Ended(Outcome::Success),
            (None, UnendedState::Leased) if !task.is_ended() => Self::Running,
            (None, UnendedState::Queued) if !task.is_ended() => Self::Waiting,
            (None, UnendedState::Stopped) if !task.admits_no_more() => Self::Ended(Outcome::Stopped),
            (None, UnendedState::BehindStopped) => Self::Ended(Outcome::Skipped),
            (None, _) if task.admits_no_more() => Self::Ended(Outcome::Skipped),
            (None, _) => Self::Waiting,
        }
    }

    /// Returns `status` and `result_code` in the API.
    pub const fn status_and_result_code(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Waiting => ("WAITING", None),
            Self::Running => ("RUNNING", None),
            Self::Ended(outcome) => outcome.status_and_result_code(),
        }
    }
}

/// Adds to the reason of an unknown outcome whether a script is known to have begun.
pub fn with_start(outcome: Outcome, reason: &str, started: Option<StartedScript>) -> String {
    match (outcome, started) {
        (Outcome::Unknown, Some(StartedScript { script, at })) => {
            let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("{reason}; script {} began at {at}", u32::from(script) + 1)
        }
        (Outcome::Unknown, None) => format!("{reason}; whether a script began is not known"),
        _ => reason.to_owned(),
    }
}

/// Result of a script that arrived after its target had ended as UNKNOWN. It changes neither the
/// outcome nor a tally.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateResult {
    /// Outcome that the agent reported.
    pub outcome: Outcome,
    /// Exit code; `None` if the script was killed or never started.
    pub exit_code: Option<i32>,
    /// Start time by the agent's clock; `None` if the script never started.
    pub started_at: Option<Timestamp>,
    /// End time by the agent's clock.
    pub ended_at: Timestamp,
    /// Captured output of the script.
    pub output: String,
    /// Reason of the outcome; empty for a success.
    pub reason: String,
    /// Time at which the result arrived.
    pub received_at: Timestamp,
}

/// Reason of a record whose script succeeded in the original task of a retry.
pub const DONE_EARLIER_REASON: &str = "succeeded in the task that this one retries; not run again";
/// Reason of a record that a person stopped before any script of its target started.
pub const NOT_STARTED_REASON: &str = "never started: stopped before its turn";
/// Reason of a record that was never stored.
pub const SKIPPED_REASON: &str = "never started: the task was halted or stopped before its turn";

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_record_id_is_read_back_and_nonsense_is_not_found() {
        let id = RecordId { task_id: TaskId(Uuid::from_u128(7)), ordinal: 19, script: 1, attempt: 2 };
        assert_eq!(id.to_string().parse::<RecordId>().unwrap(), id);
        for text in [
            "",
            "x",
            "1-2-3-4",
            "00000000000000000000000000000007-1-1",
            "00000000000000000000000000000007-99999999999-0-1",
        ] {
            assert_eq!(text.parse::<RecordId>().unwrap_err().kind(), crate::ErrorKind::NotFound, "{text}");
        }
    }

    #[test]
    fn what_is_not_stored_is_derived() {
        use TaskStatus::{Halted, Halting, Running, Stopped, Stopping, Waiting};
        let skipped = RecordStatus::Ended(Outcome::Skipped);
        let table = [
            (None, UnendedState::Nowhere, Waiting, RecordStatus::Waiting),
            (None, UnendedState::Nowhere, Running, RecordStatus::Waiting),
            (None, UnendedState::Queued, Running, RecordStatus::Waiting),
            (None, UnendedState::Leased, Running, RecordStatus::Running),
            (None, UnendedState::Leased, Halting, RecordStatus::Running),
            (None, UnendedState::Nowhere, Halting, skipped),
            (None, UnendedState::Nowhere, Halted, skipped),
            // A batch row that outlives its task has no effect any more.
            (None, UnendedState::Leased, Halted, skipped),
            (None, UnendedState::Queued, Halted, skipped),
            (None, UnendedState::Queued, Halting, RecordStatus::Waiting),
            (None, UnendedState::Leased, Stopping, RecordStatus::Running),
            (None, UnendedState::Nowhere, Stopped, skipped),
            // Stopped individually before admission, unless the target will never be admitted.
            (None, UnendedState::Stopped, Running, RecordStatus::Ended(Outcome::Stopped)),
            (None, UnendedState::BehindStopped, Running, skipped),
            (None, UnendedState::Stopped, Halted, skipped),
            // Never run again, regardless of the result of its target.
            (None, UnendedState::DoneEarlier, Waiting, RecordStatus::Ended(Outcome::Success)),
            (None, UnendedState::DoneEarlier, Stopped, RecordStatus::Ended(Outcome::Success)),
            (Some(Outcome::Unknown), UnendedState::Leased, Running, RecordStatus::Ended(Outcome::Unknown)),
        ];
        for (stored, place, task, expected) in table {
            assert_eq!(RecordStatus::of(stored, place, task), expected, "{stored:?} {place:?} {task}");
        }
    }

    #[test]
    fn a_status_is_a_word_of_the_api() {
        for (status, expected) in [
            (RecordStatus::Waiting, ("WAITING", None)),
            (RecordStatus::Running, ("RUNNING", None)),
            (RecordStatus::Ended(Outcome::Timeout), ("FAILED", Some("TIMEOUT"))),
        ] {
            assert_eq!(status.status_and_result_code(), expected);
        }
    }
}
