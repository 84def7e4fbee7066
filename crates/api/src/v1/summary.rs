//! A task as live views show it: its numbers, its waves, and its distance from a halt.

use control::{TaskProgress, WaveRow};
use domain::{
    margin::{Margin, MarginScope},
    outcome::Outcome,
    tally::Tally,
    wave::WaveStatus,
    wave_start::WaveHold,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::time;

/// Maximum number of characters of a title.
const TITLE_CHARS: usize = 80;

/// State of a task with its waves.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TaskSummary {
    task_id: String,
    /// WAITING, RUNNING, HALTING, STOPPING, SUCCESS, FAILED, HALTED or STOPPED.
    status: &'static str,
    /// Reason of a halt or stop.
    reason: Option<String>,
    /// Condition that the task waits for; `null` while the task makes progress.
    waiting_for: Option<String>,
    paused: bool,
    /// Whether the project is frozen.
    frozen: bool,
    created_by: String,
    /// Names of the scripts, or the first line of the command, at most 80 characters.
    title: String,
    /// Whether the task runs a command.
    command: bool,
    target_count: u32,
    attempt: u16,
    /// First wave that is not closed; `null` if all are.
    wave: Option<u16>,
    wave_count: usize,
    /// Ended targets by outcome.
    tally: LiveTally,
    /// Targets that may be running and have no outcome yet.
    in_flight: u32,
    /// Admitted targets that wait for their desktop to connect or for its window.
    waiting: u32,
    /// Targets that no wave has admitted yet.
    not_admitted: u32,
    /// Distance from the halt; `null` once the task has ended.
    margin: Option<NativeMargin>,
    waves: Vec<WaveSummary>,
    #[schema(format = DateTime)]
    create_time: String,
    #[schema(format = DateTime)]
    start_time: Option<String>,
    #[schema(format = DateTime)]
    end_time: Option<String>,
}

/// Number of targets by outcome.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct LiveTally {
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

/// A wave in a live view.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct WaveSummary {
    /// Number of the wave, from 1.
    wave: u16,
    /// PENDING, OPEN, CLOSED, HALTED or STOPPED.
    status: &'static str,
    first_ordinal: u32,
    size: u32,
    admitted: u32,
    in_flight: u32,
    waiting: u32,
    finished: u32,
    success: u32,
    /// Number of targets that count against the threshold.
    failed: u32,
    fail_threshold: Option<String>,
    /// Last verdict of the gate, or the reason of a stop.
    verdict: Option<String>,
    /// APPROVAL or NO_EVIDENCE while the wave waits for an approval.
    hold: Option<&'static str>,
    #[schema(format = DateTime)]
    hold_end_time: Option<String>,
    #[schema(format = DateTime)]
    soak_end_time: Option<String>,
    needs_approval: bool,
    #[schema(format = DateTime)]
    open_time: Option<String>,
    #[schema(format = DateTime)]
    close_time: Option<String>,
}

/// Distance of a rollout from its halt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct NativeMargin {
    /// The nearest threshold: WAVE or TASK; `null` without a threshold.
    scope: Option<&'static str>,
    /// Failures so far that count against it.
    failed: u32,
    /// Targets without a result that may still fail although nothing more is admitted.
    at_risk: u32,
    /// Failures at which the rollout halts, if all next results are failures.
    threshold: Option<u32>,
    /// The threshold as the request gave it, such as `4` or `2.5%/50`.
    threshold_text: Option<String>,
    /// Failures that are missing until the halt.
    left: Option<u32>,
    /// Failures at most, those so far included, until the rollout halts or the wave ends.
    worst_case: u32,
    /// Whether too few targets are left to reach the threshold.
    unreachable: bool,
    /// Verdict of the gate on the current wave: PROCEED, HOLD or HALT.
    verdict: &'static str,
    sentence: String,
}

impl From<Margin> for NativeMargin {
    fn from(margin: Margin) -> Self {
        Self {
            scope: margin.scope.map(MarginScope::as_str),
            failed: margin.failed,
            at_risk: margin.at_risk,
            threshold: margin.threshold,
            threshold_text: margin.given.map(|threshold| threshold.to_string()),
            left: margin.left,
            worst_case: margin.worst_case,
            unreachable: margin.is_unreachable,
            verdict: margin.verdict.as_str(),
            sentence: margin.sentence,
        }
    }
}

impl From<&Tally> for LiveTally {
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

impl From<WaveRow> for WaveSummary {
    fn from(row: WaveRow) -> Self {
        let state = &row.state;
        Self {
            wave: row.wave,
            status: state.status.as_str(),
            first_ordinal: row.first_ordinal,
            size: state.size,
            admitted: state.admitted,
            in_flight: state.in_flight(),
            waiting: state.waiting,
            finished: state.tally.finished(),
            success: state.tally.get(Outcome::Success),
            failed: state.failed,
            fail_threshold: state.fail_threshold.map(|threshold| threshold.to_string()),
            verdict: row.verdict_reason,
            hold: row.opening.hold().map(WaveHold::as_str),
            hold_end_time: row.opening.hold_end().map(time),
            soak_end_time: row.opening.opens_at.map(time),
            needs_approval: row.opening.needs_approval,
            open_time: row.opened_at.map(time),
            close_time: row.closed_at.map(time),
        }
    }
}

impl From<TaskProgress> for TaskSummary {
    fn from(progress: TaskProgress) -> Self {
        let title = title(&progress);
        let TaskProgress { task, waves, waiting_for, margin, .. } = progress;
        let mut tally = Tally::default();
        waves.iter().for_each(|row| tally.merge(&row.state.tally));
        let sum = |of: fn(&WaveRow) -> u32| waves.iter().map(of).sum::<u32>();
        Self {
            task_id: task.task_id.to_string(),
            status: task.status.as_str(),
            reason: task.halt_reason,
            waiting_for,
            paused: task.paused.is_some(),
            frozen: task.is_frozen,
            created_by: task.created_by,
            title,
            command: task.command.is_some(),
            target_count: task.target_count,
            attempt: task.attempt,
            wave: waves.iter().find(|row| row.state.status != WaveStatus::Closed).map(|row| row.wave),
            wave_count: waves.len(),
            tally: LiveTally::from(&tally),
            in_flight: sum(|row| row.state.in_flight()),
            waiting: sum(|row| row.state.waiting),
            not_admitted: task.target_count.saturating_sub(sum(|row| row.state.admitted)),
            margin: margin.map(NativeMargin::from),
            waves: waves.into_iter().map(WaveSummary::from).collect(),
            create_time: time(task.created_at),
            start_time: task.started_at.map(time),
            end_time: task.ended_at.map(time),
        }
    }
}

fn title(progress: &TaskProgress) -> String {
    let whole = match &progress.task.command {
        Some((_, content)) => content.lines().next().unwrap_or_default().to_owned(),
        None => progress.scripts.iter().map(|script| script.name.as_str()).collect::<Vec<_>>().join(", "),
    };
    if whole.chars().count() <= TITLE_CHARS {
        return whole;
    }
    whole.chars().take(TITLE_CHARS - 1).chain(['\u{2026}']).collect()
}
