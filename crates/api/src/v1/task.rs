//! A task as the native family shows it: with its waves, what was counted in each, and what the gate said.

use std::collections::BTreeMap;

use control::{PinnedScript, RetryOf, Selection, TaskProgress, WaveRow};
use domain::{outcome::Outcome, tally::Tally};
use serde::Serialize;
use utoipa::ToSchema;

use super::time;
use crate::dto::ScriptType;

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeTask {
    task_id: String,
    /// WAITING, RUNNING, HALTING, STOPPING, SUCCESS, FAILED, HALTED or STOPPED.
    status: &'static str,
    /// Why it was halted or stopped.
    reason: Option<String>,
    /// What it waits for, where it is not at work: a person, a time, or that the project is unfrozen.
    waiting_for: Option<String>,
    /// A person paused it.
    paused: bool,
    scripts: Vec<NativeScript>,
    command: Option<NativeCommand>,
    target_count: u32,
    /// From 1; one more than that of the task it retries.
    attempt: u16,
    retry_of: Option<NativeRetryOf>,
    /// The tasks that retry it, or single records of it.
    retried_by: Vec<String>,
    /// The pool that its desktops were chosen by.
    desktop_pool_id: Option<String>,
    /// The tag that its desktops were chosen by.
    desktop_tag: Option<String>,
    created_by: String,
    /// SHA-256 of the plan: who belongs to which wave, in which order.
    plan_hash: String,
    /// SHA-256 over what runs on each target.
    script_hash: Option<String>,
    /// What the canaries were drawn with.
    seed: u64,
    execution_timeout_ms: i64,
    delivery_timeout_ms: i64,
    /// Failures of all waves together at which it halts, like `20` or `2.5%`.
    fail_threshold: Option<String>,
    /// No more targets can ever fail than the thresholds say.
    strict: bool,
    /// Targets in flight at most.
    max_concurrency: Option<u32>,
    /// Seconds after a wave before the next one opens.
    soak_seconds: u32,
    /// A share of a wave's targets with which it is over although the missing ones are away.
    quorum_percent: Option<f64>,
    /// When targets may start, like `22:00 to 05:00, Europe/Berlin`.
    window: Option<String>,
    /// Whoever asked for the task may not approve its waves.
    distinct_approver: bool,
    /// drain or kill.
    on_halt: &'static str,
    /// Outcomes that weigh otherwise than they do by default: count or ignore.
    outcomes: BTreeMap<&'static str, &'static str>,
    /// Exit codes that weigh otherwise than FAILED does: success, count, ignore or halt.
    exit_codes: BTreeMap<String, &'static str>,
    records: RecordNumbers,
    waves: Vec<NativeWave>,
    #[schema(format = DateTime)]
    create_time: String,
    #[schema(format = DateTime)]
    start_time: Option<String>,
    #[schema(format = DateTime)]
    end_time: Option<String>,
    /// Nothing is started after it.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
}

/// A script that a task runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeScript {
    script_id: String,
    /// From 1, one more with each save.
    revision: i32,
    name: String,
}

impl NativeScript {
    /// `None` for a command.
    pub(crate) fn of(pinned: PinnedScript) -> Option<Self> {
        let (script_id, revision) = pinned.script?;
        Some(Self { script_id: script_id.to_string(), revision, name: pinned.name })
    }
}

/// The command that a task runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeCommand {
    #[schema(value_type = ScriptType)]
    command_type: &'static str,
    content: String,
}

/// What a task retries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeRetryOf {
    task_id: String,
    /// The one record; `null` for all that did not succeed.
    ordinal: Option<u32>,
    script: Option<u16>,
}

impl From<RetryOf> for NativeRetryOf {
    fn from(old: RetryOf) -> Self {
        let (ordinal, script) = old.record.unzip();
        Self { task_id: old.task_id.to_string(), ordinal, script }
    }
}

/// Records by how they ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordNumbers {
    success: u64,
    failed: u64,
    skipped: u64,
}

/// A wave.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeWave {
    /// From 1.
    wave: u16,
    /// PENDING, OPEN, CLOSED, HALTED or STOPPED.
    status: &'static str,
    first_ordinal: u32,
    size: u32,
    /// Targets that were admitted and not withdrawn again.
    admitted: u32,
    /// Admitted targets without an outcome that may run.
    in_flight: u32,
    /// Admitted targets that wait for their desktop, or for its window.
    waiting: u32,
    /// Failed targets at which the rollout is halted, like `2` or `2.5%`.
    fail_threshold: Option<String>,
    /// Targets that count against the threshold.
    failed: u32,
    /// Targets by outcome.
    targets: Outcomes,
    /// Records by outcome.
    records: Outcomes,
    /// What the gate, or who stopped it, said last.
    verdict: Option<String>,
    /// A person must approve it before it opens.
    needs_approval: bool,
    approved_by: Option<String>,
    #[schema(format = DateTime)]
    approve_time: Option<String>,
    /// The wave before it soaks until then.
    #[schema(format = DateTime)]
    soak_end_time: Option<String>,
    #[schema(format = DateTime)]
    open_time: Option<String>,
    /// When it was closed, halted or stopped.
    #[schema(format = DateTime)]
    close_time: Option<String>,
}

/// Counts by outcome.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) struct Outcomes {
    success: u32,
    failed: u32,
    timeout: u32,
    undelivered: u32,
    rejected: u32,
    unknown: u32,
    stopped: u32,
    skipped: u32,
}

impl From<&Tally> for Outcomes {
    fn from(tally: &Tally) -> Self {
        Self {
            success: tally.get(Outcome::Success),
            failed: tally.get(Outcome::Failed),
            timeout: tally.get(Outcome::Timeout),
            undelivered: tally.get(Outcome::Undelivered),
            rejected: tally.get(Outcome::Rejected),
            unknown: tally.get(Outcome::Unknown),
            stopped: tally.get(Outcome::Stopped),
            skipped: tally.get(Outcome::Skipped),
        }
    }
}

impl From<WaveRow> for NativeWave {
    fn from(row: WaveRow) -> Self {
        Self {
            wave: row.wave,
            status: row.state.status.as_str(),
            first_ordinal: row.first_ordinal,
            size: row.state.size,
            admitted: row.state.admitted,
            in_flight: row.state.in_flight(),
            waiting: row.state.waiting,
            fail_threshold: row.state.fail_threshold.map(|threshold| threshold.to_string()),
            failed: row.state.failed,
            targets: Outcomes::from(&row.state.tally),
            records: Outcomes::from(&row.record_tally),
            verdict: row.verdict_reason,
            needs_approval: row.opening.needs_approval,
            approve_time: row.approved.as_ref().map(|(_, at)| time(*at)),
            approved_by: row.approved.map(|(by, _)| by),
            soak_end_time: row.opening.opens_at.map(time),
            open_time: row.opened_at.map(time),
            close_time: row.closed_at.map(time),
        }
    }
}

impl From<TaskProgress> for NativeTask {
    fn from(progress: TaskProgress) -> Self {
        let TaskProgress { task, scripts, waves, counts, waiting_for } = progress;
        let (desktop_pool_id, desktop_tag) = match task.selection {
            Some(Selection::Pool(pool_id)) => (Some(pool_id), None),
            Some(Selection::Tag(tag)) => (None, Some(tag)),
            None => (None, None),
        };
        Self {
            task_id: task.task_id.to_string(),
            status: task.status.as_str(),
            reason: task.halt_reason,
            waiting_for,
            paused: task.paused.is_some(),
            scripts: scripts.into_iter().filter_map(NativeScript::of).collect(),
            command: task.command.map(|(command_type, content)| NativeCommand {
                command_type: command_type.as_str(),
                content,
            }),
            target_count: task.target_count,
            attempt: task.attempt,
            retry_of: task.retry_of.map(NativeRetryOf::from),
            retried_by: task.retried_by.iter().map(ToString::to_string).collect(),
            desktop_pool_id,
            desktop_tag,
            created_by: task.created_by,
            plan_hash: hex::encode(task.plan_hash),
            script_hash: task.script_hash.map(hex::encode),
            seed: task.plan_seed,
            execution_timeout_ms: task.timeouts.execution.num_milliseconds(),
            delivery_timeout_ms: task.timeouts.delivery.num_milliseconds(),
            fail_threshold: task.policy.fail_threshold.map(|threshold| threshold.to_string()),
            strict: task.policy.strict,
            max_concurrency: task.max_concurrency,
            soak_seconds: task.policy.soak_seconds,
            quorum_percent: task.policy.quorum.map(|hundredths| f64::from(hundredths) / 100.0),
            window: task.policy.window.map(|window| window.to_string()),
            distinct_approver: task.policy.approval.distinct_approver,
            on_halt: task.policy.on_halt.as_str(),
            outcomes: task
                .policy
                .outcomes
                .iter()
                .map(|(outcome, weight)| (outcome.as_str(), weight.as_str()))
                .collect(),
            exit_codes: task.policy.exit_code_words(),
            records: RecordNumbers {
                success: counts.success_num,
                failed: counts.failed_num,
                skipped: counts.skip_num,
            },
            waves: waves.into_iter().map(NativeWave::from).collect(),
            create_time: time(task.created_at),
            start_time: task.started_at.map(time),
            end_time: task.ended_at.map(time),
            expire_time: task.expires_at.map(time),
        }
    }
}
