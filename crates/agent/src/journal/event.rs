//! Journal entries: keys, script results and events.

use proto::{ScriptOutcome, agent::ExecutionKey, limits, types::ScriptResult};
use runner::LeftProcess;
use serde::{Deserialize, Serialize};

use crate::way_down::Way;

/// Key of an order: one desktop's part of a task, in one attempt.
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

/// Range of an order's scripts to run: from `first` up to `count`. Earlier ones succeeded in an
/// earlier task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// Result of one script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) script: u32,
    pub(crate) outcome: ScriptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    /// Start time in Unix milliseconds; 0 if the script never started.
    pub(crate) started_at: i64,
    pub(crate) ended_at: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) output: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// `None` if the script did not run, or its end is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<Box<RunFacts>>,
}

/// Facts about an execution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunFacts {
    pub(crate) interpreter: String,
    /// Signal that ended the script.
    pub(crate) signal: Option<i32>,
    pub(crate) containment: String,
    pub(crate) left_processes: Vec<LeftProcess>,
    pub(crate) left_processes_count: u32,
}

impl Record {
    /// Record of a script that did not start, or whose outcome alone is known.
    pub(crate) fn bare(script: u32, outcome: ScriptOutcome, reason: &str, now: i64) -> Self {
        let reason = bounded(reason);
        Self {
            script,
            outcome,
            exit_code: None,
            started_at: 0,
            ended_at: now,
            output: String::new(),
            reason,
            run: None,
        }
    }

    pub(crate) fn skipped(script: u32, now: i64) -> Self {
        Self::bare(script, ScriptOutcome::Skipped, "an earlier script did not succeed", now)
    }

    /// Record of a script that succeeded in an earlier task.
    pub(crate) fn carried(script: u32, now: i64) -> Self {
        Self::bare(script, ScriptOutcome::Success, "succeeded in an earlier task; not run again", now)
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.outcome == ScriptOutcome::Success
    }
}

impl From<Record> for ScriptResult {
    fn from(record: Record) -> Self {
        let RunFacts { interpreter, signal, containment, left_processes, left_processes_count } =
            record.run.map(|facts| *facts).unwrap_or_default();
        Self {
            script: record.script,
            outcome: record.outcome.as_str().to_owned(),
            exit_code: record.exit_code,
            started_at_unix_ms: record.started_at,
            ended_at_unix_ms: record.ended_at,
            output: record.output,
            reason: record.reason,
            interpreter,
            containment,
            signal,
            left_processes: left_processes.into_iter().map(left_process).collect(),
            left_processes_count,
        }
    }
}

fn left_process(process: LeftProcess) -> proto::types::LeftProcess {
    let LeftProcess { pid, command, user, survived_kill } = process;
    proto::types::LeftProcess { pid, command, user, survived_kill }
}

/// Takes a reference, because serde requires it.
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Reason as the control plane stores it: bounded, and without NUL, which Postgres refuses.
fn bounded(reason: &str) -> String {
    let mut kept = reason.replace('\0', "?");
    kept.truncate(kept.floor_char_boundary(limits::MAX_REASON_BYTES));
    kept
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// First line of a journal: a file without it was truncated or replaced. Older journals have
    /// none.
    Opened,
    /// A script is about to start; on disk before its process exists.
    Started {
        key: Key,
        script: u32,
        script_count: u32,
        /// Scripts before this position succeeded in an earlier task. Older journals lack it.
        #[serde(default, skip_serializing_if = "is_zero")]
        first_script: u32,
        at: i64,
    },
    /// The last start never became a process, and never will: its run is void.
    NotStarted { key: Key, script: u32 },
    /// A script succeeded and another one follows.
    ScriptFinished { key: Key, result: Record },
    /// The desktop is to reboot before the remaining scripts of the order, with the results so far.
    /// They run in the next boot, when the control plane sends the order again.
    Paused { key: Key, script_count: u32, first_script: u32, results: Vec<Record>, action: GoDown },
    /// The order has ended, with the results for the worker.
    Finished {
        key: Key,
        results: Vec<Record>,
        /// What the desktop does once the results are stored. Older journals lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<GoDown>,
    },
    /// The worker has stored the result.
    Acked { key: Key },
    /// The desktop does not go down for this order any more: its time is over, or it has rebooted.
    ActionDropped { key: Key },
}

/// Treatment of a person who uses the desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IfUserActive {
    Wait,
    Ask,
    Force,
}

/// A reboot or power-off that follows an acknowledged result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoDown {
    pub(crate) way: Way,
    /// Boot in which the script ended. In any other boot the action is done.
    pub(crate) boot_id: String,
    /// Time in Unix milliseconds, by the control plane's clock, after which nothing is done.
    pub(crate) until: i64,
    pub(crate) if_user_active: IfUserActive,
}
