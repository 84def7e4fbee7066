//! Records to insert.

use domain::{Timestamp, ids::DesktopId, outcome::Outcome, process::ProcessReport};

/// A record to insert: the result of one script of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Ordinal of the target in the plan, from 0.
    pub ordinal: u32,
    /// Desktop that reported the result. Only records of the target's own desktop count.
    pub desktop_id: DesktopId,
    /// Place of the script in the task, from 0.
    pub script: u16,
    /// Outcome of the script.
    pub outcome: Outcome,
    /// Exit code; `None` if the agent killed the script, or it never started.
    pub exit_code: Option<i32>,
    /// Start time by the agent's clock; `None` if the script never started.
    pub started_at: Option<Timestamp>,
    /// End time.
    pub ended_at: Timestamp,
    /// Captured output of the script.
    pub output: String,
    /// Reason of the outcome; empty for a success.
    pub reason: String,
    /// Facts about the process of the script.
    pub process: ProcessReport,
    /// Id of the failure's fingerprint; `None` if the record is not a failure.
    pub fingerprint_id: Option<i64>,
}

impl NewRecord {
    /// Returns whether the agent knows the outcome. A record whose outcome is unknown adds nothing
    /// to a stored one.
    pub fn is_known(&self) -> bool {
        self.outcome != Outcome::Unknown
    }

    /// Creates the record of a script without a result.
    pub fn without_result(
        ordinal: u32,
        desktop_id: DesktopId,
        script: u16,
        outcome: Outcome,
        ended_at: Timestamp,
        reason: &str,
    ) -> Self {
        Self {
            ordinal,
            desktop_id,
            script,
            outcome,
            exit_code: None,
            started_at: None,
            ended_at,
            output: String::new(),
            reason: reason.to_owned(),
            process: ProcessReport::default(),
            fingerprint_id: None,
        }
    }
}
