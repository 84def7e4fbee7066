//! Stores what workers report: one transaction for each task of a report, acknowledged after its commit.

use std::{collections::BTreeMap, time::Instant};

use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
};
use engine::{Report, ReportedTarget, Rows as _, ScriptResult};
use store::{Error, TaskRows};
use telemetry::{metric, trace};
use tracing::{Instrument as _, Span};

use super::ENGINE;
use crate::Scheduler;

/// How all scripts of a target ended.
#[derive(Debug, Clone)]
pub struct TargetReport {
    /// Its task.
    pub task_id: TaskId,
    /// Its place in the plan.
    pub ordinal: u32,
    /// Which attempt.
    pub attempt: u32,
    /// The batch it was handed out in, where the worker knows.
    pub batch_id: Option<BatchId>,
    /// Whose desktop it comes from.
    pub project_id: ProjectId,
    /// Which desktop it comes from.
    pub desktop_id: DesktopId,
    /// Which agent of that desktop it comes from.
    pub agent_id: String,
    /// One for each script of the task, in order.
    pub scripts: Vec<ScriptResult>,
    /// The trace that it is a part of, where that is sampled.
    pub trace_context: Option<String>,
}

/// A target that a worker gives back.
#[derive(Debug, Clone)]
pub struct ReturnedTarget {
    /// Its task.
    pub task_id: TaskId,
    /// The batch it was handed out in.
    pub batch_id: BatchId,
    /// Its place in the plan.
    pub ordinal: u32,
    /// False only when it was certainly never handed to its agent.
    pub handed: bool,
}

/// What became of a report.
#[derive(Debug, Clone, Default)]
pub struct ReportAnswer {
    /// Targets that ended by it; all others were known already.
    pub stored: u32,
    /// Results that fit no target of ours, with the reason.
    pub refused: Vec<(TaskId, u32, String)>,
    /// Tasks of which nothing was stored because their own rows or statements failed; the log has the cause.
    pub failed: Vec<TaskId>,
}

impl ReportAnswer {
    fn merge(&mut self, of_task: Self) {
        self.stored += of_task.stored;
        self.refused.extend(of_task.refused);
        self.failed.extend(of_task.failed);
    }
}

impl Scheduler {
    /// Stores results and takes returned targets back. Sending the same again changes nothing.
    ///
    /// Each task has a transaction of its own: one that cannot be stored is named in [`ReportAnswer::failed`], and the
    /// others are stored. Otherwise one task would stop every worker that reports its targets.
    ///
    /// # Errors
    ///
    /// When the database does not answer; what was stored by then stays stored.
    pub async fn report(
        &self,
        worker_id: &WorkerId,
        results: Vec<TargetReport>,
        returned: Vec<ReturnedTarget>,
        now: Timestamp,
    ) -> Result<ReportAnswer, Error> {
        let mut by_task: BTreeMap<TaskId, (Vec<TargetReport>, Vec<ReturnedTarget>)> = BTreeMap::new();
        for result in results {
            by_task.entry(result.task_id).or_default().0.push(result);
        }
        for target in returned {
            by_task.entry(target.task_id).or_default().1.push(target);
        }
        let mut answer = ReportAnswer::default();
        let begun = Instant::now();
        for (task_id, (results, returned)) in by_task {
            note(task_id, &results);
            let span = span_of(task_id, worker_id, &results);
            let results = results.into_iter().map(TargetReport::reported).collect();
            let returned = returned.into_iter().map(ReturnedTarget::returned).collect();
            let report = Report { task_id, worker_id: worker_id.clone(), results, returned };
            match Box::pin(self.report_task(report, now).instrument(span)).await {
                Ok(of_task) => answer.merge(of_task),
                Err(error) if is_of_one_task(&error) => {
                    tracing::error!(%task_id, error = &error as &dyn std::error::Error, "results cannot be stored");
                    answer.failed.push(task_id);
                }
                Err(error) => return Err(error),
            }
        }
        metric::REPORT_SECONDS.observe_duration(begun.elapsed(), &[]);
        metric::RESULTS_REFUSED.increment(answer.refused.len() as u64, &[]);
        Ok(answer)
    }

    async fn report_task(&self, report: Report, now: Timestamp) -> Result<ReportAnswer, Error> {
        let task_id = report.task_id;
        let mut tx = self.store.begin().await?;
        let mut rows = TaskRows::new(&mut tx);
        let answer = ENGINE.report(&mut rows, report, now).await?;
        if let Some(decision) = &answer.decision {
            rows.apply(&decision.changes).await?;
            let commit = trace::below(|| tracing::info_span!(target: trace::TARGET, "commit"));
            self.store.commit(tx).instrument(commit).await?;
            store::effect::report(decision);
        }
        let refused = answer.refused.into_iter().map(|refusal| (task_id, refusal.ordinal, refusal.reason));
        Ok(ReportAnswer { stored: answer.stored, refused: refused.collect(), failed: Vec::new() })
    }
}

impl TargetReport {
    fn reported(self) -> ReportedTarget {
        let Self { ordinal, attempt, batch_id, project_id, desktop_id, agent_id, scripts, .. } = self;
        ReportedTarget { ordinal, attempt, batch_id, project_id, desktop_id, agent_id, scripts }
    }
}

impl ReturnedTarget {
    const fn returned(self) -> engine::ReturnedTarget {
        let Self { batch_id, ordinal, handed, .. } = self;
        engine::ReturnedTarget { batch_id, ordinal, handed }
    }
}

/// Whether only the task's own rows or statements failed, so that other tasks may still be stored.
fn is_of_one_task(error: &Error) -> bool {
    !error.is_unavailable() || error.is_of_transaction()
}

/// What is stored of a task, as a part of its trace: below the first result that is, with links to the others.
fn span_of(task_id: TaskId, worker_id: &WorkerId, results: &[TargetReport]) -> Span {
    let mut carried = results.iter().filter_map(|result| result.trace_context.as_deref());
    let span = trace::child(carried.next(), || {
        let targets = results.len();
        tracing::info_span!(target: trace::TARGET, parent: None, "settle", %task_id, %worker_id, targets)
    });
    trace::link(&span, carried);
    span
}

/// Records the size of a report and the delays of its starts as metrics.
fn note(task_id: TaskId, results: &[TargetReport]) {
    metric::REPORT_TARGETS.observe(results.len() as f64, &[]);
    for result in results {
        let started_at = result.scripts.iter().find_map(|script| script.started_at);
        let seconds =
            started_at.zip(task_id.made_at()).map(|(started, made)| (started - made).as_seconds_f64());
        if let Some(seconds) = seconds {
            metric::START_SECONDS.observe(seconds.max(0.0), &[]);
        }
    }
}
