//! Reports the effects of committed decisions to metrics, logs and traces.

use domain::{ids::TaskId, outcome::Outcome, tally::Tally};
use engine::{Decision, Effect};
use telemetry::{metric, trace};

/// Reports the effects of a decision after its commit.
pub fn report(decision: &Decision) {
    let task_id = decision.changes.task_id;
    let mut records = Tally::default();
    decision.changes.records.iter().for_each(|record| records.add(record.outcome));
    for outcome in Outcome::ALL.into_iter().filter(|outcome| records.get(*outcome) > 0) {
        metric::RECORDS.increment(u64::from(records.get(outcome)), &[outcome.as_str()]);
    }
    for effect in &decision.effects {
        report_one(task_id, effect);
    }
}

fn report_one(task_id: TaskId, effect: &Effect) {
    match effect {
        Effect::Admitted { wave, first, number } => {
            metric::TARGETS_ADMITTED.increment(u64::from(*number), &[]);
            tracing::debug!(%task_id, wave, first, number, "targets admitted");
        }
        Effect::Dispatched { wave, ordinals, .. } => {
            tracing::debug!(%task_id, wave, targets = ordinals.len(), "deferred targets dispatched");
        }
        Effect::KnownResult { ordinal } => tracing::trace!(%task_id, ordinal, "result already stored"),
        Effect::Verdict { wave, verdict, halts_by, reason } => {
            metric::GATE_VERDICTS.increment(1, &[verdict, halts_by]);
            tracing::debug!(target: trace::TARGET, %task_id, verdict, reason, wave, "gate");
        }
        Effect::WaveOpened { wave } => tracing::info!(%task_id, wave, "wave opened"),
        Effect::WaveWaiting { wave, wait } => tracing::info!(%task_id, wave, %wait, "next wave waits"),
        Effect::Halted { wave, reason, withdrawn, .. } => {
            tracing::warn!(%task_id, wave, reason, withdrawn, "rollout halted");
        }
        Effect::Stopped { reason } => tracing::info!(%task_id, reason, "task stopped"),
        Effect::Ended { status } => {
            metric::TASKS_ENDED.increment(1, &[status.as_str()]);
            tracing::info!(%task_id, %status, "task ended");
        }
        Effect::Reclaimed { batch_id, targets, .. } => {
            metric::LEASES_LOST.increment(1, &[]);
            tracing::info!(%task_id, %batch_id, targets, "batch without a holder reclaimed");
        }
        Effect::Quarantined { ordinal, desktop_id, worker_deaths } => {
            tracing::error!(
                %task_id, ordinal, %desktop_id, worker_deaths,
                "target quarantined: every worker that held it died"
            );
        }
        Effect::Replaced { ordinal, desktop_id } => {
            tracing::warn!(
                %task_id, ordinal, %desktop_id,
                "target ends as UNKNOWN: its desktop's agent was replaced while it may have run"
            );
        }
        Effect::ReturnsAwaited { targets } => {
            tracing::info!(%task_id, targets, "results stored; the targets end when their desktops are back");
        }
        Effect::NotReturned { ordinal, desktop_id } => {
            tracing::warn!(%task_id, ordinal, %desktop_id, "the desktop did not return in time");
        }
        Effect::Overdue { targets } => tracing::info!(%task_id, targets, "targets passed their deadline"),
    }
}
