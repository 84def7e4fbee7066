//! A task in the native family: waves, counts and gate verdicts.

use std::collections::BTreeMap;

use control::{PinnedScript, RetryOf, Selection, TaskProgress, WaveRow};
use domain::{BasisPoints, outcome::Outcome, return_policy::PostFinish, tally::Tally, wave_start::WaveHold};
use serde::Serialize;
use utoipa::ToSchema;

use super::{summary::NativeMargin, time};
use crate::dto::{ScriptType, non_empty};

/// A task with its settings, waves and counts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeTask {
    task_id: String,
    /// WAITING, RUNNING, HALTING, STOPPING, SUCCESS, FAILED, HALTED or STOPPED.
    status: &'static str,
    /// Reason of a halt or stop.
    reason: Option<String>,
    /// Condition that the task waits for: an approval, a time, or the end of a pause or freeze.
    /// `null` while the task makes progress.
    waiting_for: Option<String>,
    /// Whether the task is paused.
    paused: bool,
    scripts: Vec<NativeScript>,
    command: Option<NativeCommand>,
    target_count: u32,
    /// Number of the attempt, from 1. A retry has the number of its original task plus one.
    attempt: u16,
    retry_of: Option<NativeRetryOf>,
    /// Ids of the tasks that retry this task or single records of it.
    retried_by: Vec<String>,
    /// Pool that selected the desktops; `null` otherwise.
    desktop_pool_id: Option<String>,
    /// Tag that selected the desktops; `null` otherwise.
    desktop_tag: Option<String>,
    created_by: String,
    /// Reason that the submitter gave; `null` without one.
    submit_reason: Option<String>,
    /// Id of the ticket that the submitter gave; `null` without one.
    ticket: Option<String>,
    /// SHA-256 of the plan: order of the targets and their waves.
    plan_hash: String,
    /// SHA-256 of the scripts or command of all targets.
    script_hash: Option<String>,
    /// Seed of the canary selection.
    seed: u64,
    execution_timeout_ms: i64,
    delivery_timeout_ms: i64,
    /// Failure threshold over all waves together, such as `20`, `2.5%` or `2.5%/50`.
    fail_threshold: Option<String>,
    /// Whether admission guarantees that failures never exceed the thresholds.
    strict: bool,
    /// Maximum number of targets in flight.
    max_concurrency: Option<u32>,
    /// Seconds between the end of a wave and the start of the next wave.
    soak_seconds: u32,
    /// Percentage of finished targets at which a wave closes while the remaining desktops are
    /// offline.
    quorum_percent: Option<f64>,
    /// Percentage of a wave's targets that must succeed before the next wave opens; `null` for one
    /// target.
    min_success_percent: Option<f64>,
    /// Time window in which targets may start, such as `22:00 to 05:00, Europe/Berlin`.
    window: Option<String>,
    /// Whether the principal that submitted the task is barred from approving its waves.
    distinct_approver: bool,
    /// Treatment of running targets when the gate halts: `drain` or `kill`.
    on_halt: &'static str,
    /// Outcomes whose weight differs from the default: `count` or `ignore`.
    outcomes: BTreeMap<&'static str, &'static str>,
    /// Exit codes whose weight differs from that of FAILED: `success`, `reboot`, `count`, `ignore`
    /// or `halt`.
    exit_codes: BTreeMap<String, &'static str>,
    /// User that runs the scripts; `null` for the one that the agents' configuration names.
    run_as_user: Option<String>,
    /// Treatment of processes that a script leaves behind: `keep` or `kill`.
    cleanup: &'static str,
    /// Action on each desktop after its last script: `stop` or `reboot`; `null` for none.
    post_finish: Option<&'static str>,
    /// Treatment of a person who uses the desktop when it is to reboot or to be powered off:
    /// `wait`,
    /// `ask` or `force`.
    if_user_active: &'static str,
    /// Version with which the agent must be attached after the scripts; `null` for any.
    agent_version: Option<String>,
    /// Maximum time in seconds from the result to the return of the desktop.
    return_timeout_seconds: i64,
    records: RecordNumbers,
    /// Distance from the halt; `null` once the task has ended.
    margin: Option<NativeMargin>,
    waves: Vec<NativeWave>,
    #[schema(format = DateTime)]
    create_time: String,
    #[schema(format = DateTime)]
    start_time: Option<String>,
    #[schema(format = DateTime)]
    end_time: Option<String>,
    /// Time after which no target starts.
    #[schema(format = DateTime)]
    expire_time: Option<String>,
}

/// A script of a task, at a fixed revision.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeScript {
    script_id: String,
    /// Number of the revision, from 1; each save increments it.
    revision: i32,
    name: String,
    /// Values of the script's parameters, by name.
    parameters: BTreeMap<String, String>,
}

impl NativeScript {
    /// Converts a pinned script; `None` for a command.
    pub(crate) fn of(pinned: PinnedScript) -> Option<Self> {
        let (script_id, revision) = pinned.script?;
        let (script_id, parameters) = (script_id.to_string(), pinned.parameters);
        Some(Self { script_id, revision, name: pinned.name, parameters })
    }
}

/// The command of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeCommand {
    #[schema(value_type = ScriptType)]
    command_type: &'static str,
    content: String,
}

/// Task or record that a task retries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeRetryOf {
    task_id: String,
    /// Position of the one retried target; `null` if the task retries all targets that did not
    /// succeed.
    ordinal: Option<u32>,
    script: Option<u16>,
}

impl From<RetryOf> for NativeRetryOf {
    fn from(old: RetryOf) -> Self {
        let (ordinal, script) = old.record.unzip();
        Self { task_id: old.task_id.to_string(), ordinal, script }
    }
}

/// Number of records by result.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordNumbers {
    success: u64,
    failed: u64,
    skipped: u64,
}

/// A wave with its counts and its gate verdict.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeWave {
    /// Number of the wave, from 1.
    wave: u16,
    /// PENDING, OPEN, CLOSED, HALTED or STOPPED.
    status: &'static str,
    first_ordinal: u32,
    size: u32,
    /// Number of admitted targets, without those withdrawn again.
    admitted: u32,
    /// Number of admitted targets that may be running and have no outcome yet.
    in_flight: u32,
    /// Number of admitted targets that wait for their desktop to connect or for its window.
    waiting: u32,
    /// Failure threshold of the wave, such as `2`, `2.5%` or `2.5%/50`.
    fail_threshold: Option<String>,
    /// Number of targets that count against the threshold.
    failed: u32,
    /// Number of targets by outcome.
    targets: Outcomes,
    /// Number of records by outcome.
    records: Outcomes,
    /// Last verdict of the gate, or the reason of a stop.
    verdict: Option<String>,
    /// Whether the wave requires an approval.
    needs_approval: bool,
    approved_by: Option<String>,
    #[schema(format = DateTime)]
    approve_time: Option<String>,
    /// Reason why the wave opens only after an approval that it does not have yet: APPROVAL if the
    /// author asked for it, NO_EVIDENCE if too few targets of the previous wave succeeded.
    hold: Option<&'static str>,
    /// Time at which the task stops unless the wave is approved, because the previous wave gave no
    /// evidence.
    #[schema(format = DateTime)]
    hold_end_time: Option<String>,
    /// End of the soak time after the previous wave.
    #[schema(format = DateTime)]
    soak_end_time: Option<String>,
    #[schema(format = DateTime)]
    open_time: Option<String>,
    /// Time at which the wave closed, halted or stopped.
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
    not_returned: u32,
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
            not_returned: tally.get(Outcome::NotReturned),
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
            hold: row.opening.hold().map(WaveHold::as_str),
            hold_end_time: row.opening.hold_end().map(time),
            soak_end_time: row.opening.opens_at.map(time),
            open_time: row.opened_at.map(time),
            close_time: row.closed_at.map(time),
        }
    }
}

impl From<TaskProgress> for NativeTask {
    fn from(progress: TaskProgress) -> Self {
        let TaskProgress { task, scripts, waves, counts, waiting_for, margin } = progress;
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
            submit_reason: non_empty(task.submit_reason),
            ticket: non_empty(task.ticket),
            plan_hash: hex::encode(task.plan_hash),
            script_hash: task.script_hash.map(hex::encode),
            seed: task.plan_seed,
            execution_timeout_ms: task.timeouts.execution.num_milliseconds(),
            delivery_timeout_ms: task.timeouts.delivery.num_milliseconds(),
            fail_threshold: task.policy.fail_threshold.map(|threshold| threshold.to_string()),
            strict: task.policy.strict,
            max_concurrency: task.max_concurrency,
            soak_seconds: task.policy.soak_seconds,
            quorum_percent: task.policy.quorum.map(BasisPoints::percent),
            min_success_percent: task.policy.min_success.map(BasisPoints::percent),
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
            run_as_user: task.policy.run_as_user,
            cleanup: task.policy.cleanup.as_str(),
            post_finish: task.policy.returns.post_finish.map(PostFinish::as_str),
            if_user_active: task.policy.returns.if_user_active.as_str(),
            return_timeout_seconds: task.policy.returns.timeout().num_seconds(),
            agent_version: task.policy.returns.agent_version,
            records: RecordNumbers {
                success: counts.success_num,
                failed: counts.failed_num,
                skipped: counts.skip_num,
            },
            margin: margin.map(NativeMargin::from),
            waves: waves.into_iter().map(NativeWave::from).collect(),
            create_time: time(task.created_at),
            start_time: task.started_at.map(time),
            end_time: task.ended_at.map(time),
            expire_time: task.expires_at.map(time),
        }
    }
}
