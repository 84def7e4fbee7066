//! Conversion of a task with its waves, counters and verdicts.

use control::{
    EventRow, ListedTarget, PinnedScript, Progress, RetryOf, Selection, StopMode, TaskProgress, WaveRow,
};
use domain::{Error, outcome::Outcome, tally::Tally};
use proto::{
    Word as _,
    admin::{
        Cleanup, Command, EventKind, IfUserActive, ListTasksRequest, Margin, MarginScope, MarginVerdict,
        OnHalt, Outcomes, PostFinish, RecordCounts, ScriptRevision, ScriptType, Target, Task, TaskEvent,
        TaskStatus, Wave, WaveHold, WaveStatus,
    },
    time,
};

use super::value::{self, duration, text};

pub(crate) fn task(progress: TaskProgress) -> Task {
    let TaskProgress { task, scripts, waves, counts, waiting_for, margin } = progress;
    let (desktop_pool_id, desktop_tag) = match task.selection {
        Some(Selection::Pool(pool_id)) => (pool_id, String::new()),
        Some(Selection::Tag(tag)) => (String::new(), tag),
        None => (String::new(), String::new()),
    };
    let policy = task.policy;
    Task {
        task_id: task.task_id.to_string(),
        project_id: task.project_id.into_string(),
        status: TaskStatus::number(task.status.as_str()),
        reason: text(task.halt_reason),
        waiting_for: text(waiting_for),
        paused: task.paused.is_some(),
        scripts: scripts.into_iter().filter_map(script).collect(),
        command: task.command.map(|(command_type, content)| Command {
            command_type: ScriptType::number(command_type.as_str()),
            content,
        }),
        target_count: task.target_count,
        attempt: task.attempt.into(),
        retry_of: task.retry_of.map(retry_of),
        retried_by: task.retried_by.iter().map(ToString::to_string).collect(),
        desktop_pool_id,
        desktop_tag,
        created_by: task.created_by,
        plan_hash: hex::encode(task.plan_hash),
        script_hash: text(task.script_hash.map(hex::encode)),
        seed: task.plan_seed,
        execution_timeout: duration(task.timeouts.execution),
        delivery_timeout: duration(task.timeouts.delivery),
        fail_threshold: text(policy.fail_threshold.map(|threshold| threshold.to_string())),
        strict: policy.strict,
        max_concurrency: task.max_concurrency,
        soak_seconds: policy.soak_seconds,
        quorum_percent: policy.quorum.map(domain::BasisPoints::percent),
        min_success_percent: policy.min_success.map(domain::BasisPoints::percent),
        window: text(policy.window.as_ref().map(ToString::to_string)),
        distinct_approver: policy.approval.distinct_approver,
        on_halt: OnHalt::number(policy.on_halt.as_str()),
        outcomes: policy
            .outcomes
            .iter()
            .map(|(outcome, weight)| (outcome.to_string(), weight.as_str().to_owned()))
            .collect(),
        exit_codes: policy
            .exit_code_words()
            .into_iter()
            .map(|(code, weight)| (code, weight.to_owned()))
            .collect(),
        records: Some(RecordCounts {
            success: counts.success_num,
            failed: counts.failed_num,
            skipped: counts.skip_num,
        }),
        waves: waves.into_iter().map(wave).collect(),
        create_time: time(Some(task.created_at)),
        start_time: time(task.started_at),
        end_time: time(task.ended_at),
        expire_time: time(task.expires_at),
        run_as_user: text(policy.run_as_user),
        cleanup: Cleanup::number(policy.cleanup.as_str()),
        post_finish: policy.returns.post_finish.map_or(0, |action| PostFinish::number(action.as_str())),
        if_user_active: IfUserActive::number(policy.returns.if_user_active.as_str()),
        return_timeout: duration(policy.returns.timeout()),
        agent_version: text(policy.returns.agent_version),
        submit_reason: task.submit_reason,
        ticket: task.ticket,
        margin: margin.map(convert_margin),
    }
}

fn convert_margin(margin: domain::margin::Margin) -> Margin {
    Margin {
        scope: margin.scope.map_or(0, |scope| MarginScope::number(scope.as_str())),
        failed: margin.failed,
        at_risk: margin.at_risk,
        threshold: margin.threshold,
        threshold_text: text(margin.given.map(|threshold| threshold.to_string())),
        left: margin.left,
        worst_case: margin.worst_case,
        unreachable: margin.is_unreachable,
        verdict: MarginVerdict::number(margin.verdict.as_str()),
        sentence: margin.sentence,
    }
}

/// Converts a pinned script; `None` for a command.
pub(crate) fn script(pinned: PinnedScript) -> Option<ScriptRevision> {
    let (script_id, revision) = pinned.script?;
    Some(ScriptRevision {
        script_id: script_id.to_string(),
        revision,
        name: pinned.name,
        parameters: pinned.parameters.into_iter().collect(),
    })
}

fn retry_of(old: RetryOf) -> proto::admin::RetryOf {
    let (ordinal, script) = old.record.unzip();
    proto::admin::RetryOf { task_id: old.task_id.to_string(), ordinal, script: script.map(u32::from) }
}

fn wave(row: WaveRow) -> Wave {
    let (approved_by, approved_at) = row.approved.unzip();
    Wave {
        wave: row.wave.into(),
        status: WaveStatus::number(row.state.status.as_str()),
        first_ordinal: row.first_ordinal,
        size: row.state.size,
        admitted: row.state.admitted,
        in_flight: row.state.in_flight(),
        waiting: row.state.waiting,
        fail_threshold: text(row.state.fail_threshold.map(|threshold| threshold.to_string())),
        failed: row.state.failed,
        targets: Some(outcomes(&row.state.tally)),
        records: Some(outcomes(&row.record_tally)),
        verdict: text(row.verdict_reason),
        needs_approval: row.opening.needs_approval,
        approved_by: text(approved_by),
        approve_time: time(approved_at),
        soak_end_time: time(row.opening.opens_at),
        open_time: time(row.opened_at),
        close_time: time(row.closed_at),
        hold: row.opening.hold().map_or(0, |hold| WaveHold::number(hold.as_str())),
        hold_end_time: time(row.opening.hold_end()),
    }
}

fn outcomes(tally: &Tally) -> Outcomes {
    Outcomes {
        success: tally.get(Outcome::Success),
        failed: tally.get(Outcome::Failed),
        timeout: tally.get(Outcome::Timeout),
        undelivered: tally.get(Outcome::Undelivered),
        rejected: tally.get(Outcome::Rejected),
        unknown: tally.get(Outcome::Unknown),
        stopped: tally.get(Outcome::Stopped),
        skipped: tally.get(Outcome::Skipped),
        not_returned: tally.get(Outcome::NotReturned),
    }
}

pub(crate) fn event(row: EventRow) -> TaskEvent {
    TaskEvent {
        event_id: row.event_id,
        time: time(Some(row.at)),
        kind: EventKind::number(row.kind.as_str()),
        wave: row.wave.map_or(0, u32::from),
        actor: row.actor,
        detail: row.detail,
    }
}

pub(crate) fn progress(progress: Progress) -> proto::admin::TaskProgress {
    proto::admin::TaskProgress {
        status: TaskStatus::number(progress.status.as_str()),
        waiting_for: text(progress.waiting_for),
        waves: progress.waves.into_iter().map(wave).collect(),
    }
}

pub(crate) fn target(row: ListedTarget) -> Target {
    Target {
        ordinal: row.ordinal,
        desktop_id: row.desktop_id,
        wave: row.wave.into(),
        first_script: row.first_script.into(),
    }
}

/// Converts the hold of a wave that an approver has seen; `None` if the request names none.
pub(crate) fn hold(hold: i32) -> Result<Option<domain::wave_start::WaveHold>, Error> {
    value::word::<WaveHold>("hold", hold)?.map(str::parse).transpose()
}

/// Converts the stop mode. An unspecified mode is the default.
pub(crate) fn stop_mode(mode: i32) -> Result<StopMode, Error> {
    Ok(match value::word::<proto::admin::StopMode>("mode", mode)? {
        Some("DRAIN") => StopMode::Drain,
        Some("KILL") => StopMode::Kill,
        _ => StopMode::default(),
    })
}

pub(crate) fn statuses(message: &ListTasksRequest) -> Result<Option<Vec<domain::task::TaskStatus>>, Error> {
    let mut statuses = Vec::new();
    for &number in &message.statuses {
        if let Some(word) = value::word::<TaskStatus>("statuses", number)? {
            statuses.push(word.parse()?);
        }
    }
    Ok(Some(statuses).filter(|statuses| !statuses.is_empty()))
}
