//! Results of targets whose desktop still has to come back: they are stored, and the target waits.

use domain::{outcome::Outcome, process::ProcessReport, return_policy::ReportedEnd};

use super::{ReportedTarget, ScriptResult, records_of};
use crate::{
    Effect, Faults, Rule, Wake,
    rollout::{Rollout, Targets},
    row::{AwaitedReturn, TaskFacts},
};

/// Returns whether a result of fewer scripts than the task has is one before a reboot: the task
/// allows it, every script succeeded, and the agent announces the reboot.
pub(super) fn is_pause(facts: &TaskFacts, result: &ReportedTarget) -> bool {
    let is_part = (1..usize::from(facts.script_count)).contains(&result.scripts.len());
    is_part && facts.policy.returns.may_pause() && result.reboots_from.is_some() && all_succeeded(result)
}

/// Completes a result before a reboot that cannot be one, because a script of it did not succeed or
/// its values were refused: the remaining scripts are skipped, and the target ends.
pub(super) fn completed(facts: &TaskFacts, mut result: ReportedTarget) -> ReportedTarget {
    let is_part = (1..usize::from(facts.script_count)).contains(&result.scripts.len());
    if is_part && facts.policy.returns.may_pause() && result.reboots_from.is_some() && !all_succeeded(&result)
    {
        let skipped = ScriptResult {
            outcome: Outcome::Skipped,
            exit_code: None,
            started_at: None,
            ended_at: None,
            output: String::new(),
            reason: "an earlier script did not succeed".to_owned(),
            process: ProcessReport::default(),
        };
        result.scripts.resize(usize::from(facts.script_count), skipped);
    }
    result
}

fn all_succeeded(result: &ReportedTarget) -> bool {
    result.scripts.iter().all(|script| script.outcome == Outcome::Success)
}

/// Stores the results of targets that wait for the return of their desktops. Returns the results of
/// targets that end now, and the number of targets that begin to wait.
pub(super) fn await_returns<F: Faults>(
    rollout: &mut Rollout<F>,
    targets: &mut Targets,
    results: Vec<ReportedTarget>,
) -> (Vec<ReportedTarget>, usize) {
    let mut ends = Vec::new();
    let mut waits = 0;
    for result in results {
        let ordinal = result.ordinal;
        let Some(target) = targets.get_mut(&ordinal).filter(|target| !target.has_ended) else {
            ends.push(result);
            continue;
        };
        if let Some(stored) = target.awaited {
            if result.scripts.len() <= usize::from(stored) {
                rollout.effect(Effect::KnownResult { ordinal });
                continue;
            }
            // The agent went on before this scheduler knew of the return.
            target.awaited = None;
            rollout.changes().awaited.delete.push(ordinal);
        }
        match awaited(rollout, &result) {
            Some(awaited) => {
                if std::mem::take(&mut target.is_resumed) {
                    rollout.changes().awaited.delete.push(ordinal);
                }
                target.awaited = Some(awaited.results());
                rollout.changes().awaited.insert.push(awaited);
                waits += 1;
            }
            None => ends.push(result),
        }
    }
    if waits > 0 {
        rollout.effect(Effect::ReturnsAwaited { targets: u32::try_from(waits).unwrap_or(u32::MAX) });
        // The desktop may be back already.
        rollout.wake(Wake::Presence);
    }
    (ends, waits)
}

/// Returns the awaited return of a target; `None` if the target ends with its result.
fn awaited<F: Faults>(rollout: &Rollout<F>, result: &ReportedTarget) -> Option<AwaitedReturn> {
    let scripts_remain = result.scripts.len() < usize::from(rollout.facts.script_count);
    if rollout.breaks(Rule::EndWithoutReturn) && !scripts_remain {
        return None;
    }
    let returns = &rollout.facts.policy.returns;
    let condition = returns.condition(ReportedEnd {
        all_succeeded: all_succeeded(result),
        scripts_remain,
        reboots_from: result.reboots_from.as_deref(),
    })?;
    let wave = rollout.waves.iter().find(|row| row.has(result.ordinal))?.wave;
    Some(AwaitedReturn {
        ordinal: result.ordinal,
        desktop_id: result.desktop_id.clone(),
        agent_id: result.agent_id.clone(),
        wave,
        condition,
        return_by: rollout.now + returns.timeout(),
        records: records_of(result.clone(), rollout.now).collect(),
    })
}
