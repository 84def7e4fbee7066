//! What the journal writes down: keys, script results and events.

use proto::{ScriptOutcome, agent::ExecutionKey, limits, types::ScriptResult};
use serde::{Deserialize, Serialize};

/// Which order: one desktop's part of a task, in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) task: String,
    pub(crate) ordinal: u32,
    pub(crate) attempt: u32,
}

impl From<ExecutionKey> for Key {
    fn from(key: ExecutionKey) -> Self {
        Self { task: key.task_id, ordinal: key.ordinal, attempt: key.attempt }
    }
}

impl From<Key> for ExecutionKey {
    fn from(key: Key) -> Self {
        Self { task_id: key.task, ordinal: key.ordinal, attempt: key.attempt }
    }
}

/// Which of an order's scripts are to be run: those from `first` up to `count`. What is before them succeeded in an
/// earlier task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// How one script ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) script: u32,
    pub(crate) outcome: ScriptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    /// 0 when it never started.
    pub(crate) started_at: i64,
    pub(crate) ended_at: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) output: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

impl Record {
    /// A script that did not start, or of which nothing but the outcome is known.
    pub(crate) fn bare(script: u32, outcome: ScriptOutcome, reason: &str, now: i64) -> Self {
        let reason = bounded(reason);
        Self { script, outcome, exit_code: None, started_at: 0, ended_at: now, output: String::new(), reason }
    }

    pub(crate) fn skipped(script: u32, now: i64) -> Self {
        Self::bare(script, ScriptOutcome::Skipped, "an earlier script did not succeed", now)
    }

    /// A script that this order need not run.
    pub(crate) fn carried(script: u32, now: i64) -> Self {
        Self::bare(script, ScriptOutcome::Success, "succeeded in an earlier task, not run again", now)
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.outcome == ScriptOutcome::Success
    }
}

impl From<Record> for ScriptResult {
    fn from(record: Record) -> Self {
        Self {
            script: record.script,
            outcome: record.outcome.as_str().to_owned(),
            exit_code: record.exit_code,
            started_at_unix_ms: record.started_at,
            ended_at_unix_ms: record.ended_at,
            output: record.output,
            reason: record.reason,
        }
    }
}

/// By reference, as serde asks it.
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A reason as the control plane stores it: bounded, and without the NUL that its database refuses.
fn bounded(reason: &str) -> String {
    let mut kept = reason.replace('\0', "?");
    kept.truncate(kept.floor_char_boundary(limits::MAX_REASON_BYTES));
    kept
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The first line of a journal: a file that lacks it was truncated or replaced. Older journals have none.
    Opened,
    /// A script is about to start; on disk before its process exists.
    Started {
        key: Key,
        script: u32,
        script_count: u32,
        /// Scripts before this place succeeded in an earlier task. Not in older journals.
        #[serde(default, skip_serializing_if = "is_zero")]
        first_script: u32,
        at: i64,
    },
    /// A script succeeded and another follows.
    ScriptFinished { key: Key, result: Record },
    /// The order is over: what the worker is told.
    Finished { key: Key, results: Vec<Record> },
    /// The worker has stored the result.
    Acked { key: Key },
}
