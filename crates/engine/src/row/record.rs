//! Records to store.

use domain::{Timestamp, ids::DesktopId, outcome::Outcome};

/// A record to store: how one script of a target ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Place of its target in the plan.
    pub ordinal: u32,
    /// Desktop that it comes from. Only records of the target's own desktop count.
    pub desktop_id: DesktopId,
    /// Place of its script in the task.
    pub script: u16,
    /// How the script ended.
    pub outcome: Outcome,
    /// Exit code; `None` if the script was killed or never started.
    pub exit_code: Option<i32>,
    /// Time of the start; `None` if it never started.
    pub started_at: Option<Timestamp>,
    /// Time of the end.
    pub ended_at: Timestamp,
    /// Output of the script.
    pub output: String,
    /// Reason of the outcome; empty for a success.
    pub reason: String,
    /// Id of the failure's fingerprint; `None` for what is no failure.
    pub fingerprint_id: Option<i64>,
}

impl NewRecord {
    /// The record of a script without a result.
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
            fingerprint_id: None,
        }
    }
}
