//! Stores reports of workers: one transaction for each task, acknowledged after its commit.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
};
use engine::{Report, ReportedTarget, Rows as _, ScriptResult};
use store::{
    Error, TaskRows,
    batch::{self, StartedTarget},
    desktop,
};
use telemetry::{metric, trace};
use tracing::{Instrument as _, Span};

use super::ENGINE;
use crate::Scheduler;

/// Maximum time for which a desktop counts as full. Its worker reports earlier that it has room
/// again; this time covers a lost report.
const FULL_FOR: TimeDelta = TimeDelta::minutes(2);

/// Results of all scripts of one target.
#[derive(Debug, Clone)]
pub struct TargetReport {
    /// Id of the task.
    pub task_id: TaskId,
    /// Position of the target in the plan, from 0.
    pub ordinal: u32,
    /// Attempt number of the task, from 1.
    pub attempt: u32,
    /// Batch that delivered the target; `None` if the worker does not know it.
    pub batch_id: Option<BatchId>,
    /// Project of the connection that delivered the result.
    pub project_id: ProjectId,
    /// Desktop of the connection that delivered the result.
    pub desktop_id: DesktopId,
    /// Agent of the connection that delivered the result.
    pub agent_id: String,
    /// Whether the agent has authenticated the result.
    pub is_authentic: bool,
    /// Results of the task's scripts, in order.
    pub scripts: Vec<ScriptResult>,
    /// Boot that ends with a reboot of the desktop; `None` if the agent announces no reboot.
    pub reboots_from: Option<String>,
    /// Trace context of the agent and the worker; `None` unless sampled.
    pub trace_context: Option<String>,
}

/// Target that a worker returns.
#[derive(Debug, Clone)]
pub struct ReturnedTarget {
    /// Id of the task.
    pub task_id: TaskId,
    /// Batch that delivered the target.
    pub batch_id: BatchId,
    /// Position of the target in the plan, from 0.
    pub ordinal: u32,
    /// False only if the target was certainly never delivered to its agent.
    pub handed: bool,
    /// Whether the agent gave the target back: it has certainly not started.
    pub given_back: bool,
    /// Desktop of the target if it has no room for orders; `None` if it has.
    pub full: Option<DesktopId>,
}

/// Result of storing a report.
#[derive(Debug, Clone, Default)]
pub struct ReportAnswer {
    /// Number of targets that this report ended; results for all remaining targets were already
    /// stored.
    pub stored: u32,
    /// Results that match no target, each with the reason.
    pub refused: Vec<(TaskId, u32, String)>,
    /// Tasks whose results were not stored because of an error in their own rows or statements. The
    /// cause is in the log.
    pub failed: Vec<TaskId>,
}

impl ReportAnswer {
    pub(super) fn merge(&mut self, of_task: Self) {
        self.stored += of_task.stored;
        self.refused.extend(of_task.refused);
        self.failed.extend(of_task.failed);
    }
}

impl Scheduler {
    /// Stores results and returned targets. Repeating a report changes nothing.
    ///
    /// Each task has its own transaction. A task that cannot be stored is listed in
    /// [`ReportAnswer::failed`], and all remaining tasks are stored. Otherwise one task would block
    /// every worker that reports its targets. A result that the database refuses is stored as
    /// UNKNOWN, and the remaining results of its task as they are.
    ///
    /// # Errors
    ///
    /// When the database is unavailable or too many reports are under way; tasks committed before
    /// that stay stored.
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
        let full: Vec<(TaskId, DesktopId)> =
            returned.iter().filter_map(|target| Some((target.task_id, target.full.clone()?))).collect();
        for target in returned {
            by_task.entry(target.task_id).or_default().1.push(target);
        }
        let mut answer = ReportAnswer::default();
        self.store_full(worker_id, full, now).await.or_else(without_hint)?;
        let mut spent = Duration::ZERO;
        // Tasks whose reports queue come last.
        let (free, busy): (Vec<_>, Vec<_>) =
            by_task.into_iter().partition(|(task_id, _)| self.report_permits.is_free(*task_id));
        for (task_id, (results, returned)) in free.into_iter().chain(busy) {
            let _permit = self.report_permits.acquire(task_id).await?;
            let begun = Instant::now();
            note(task_id, &results);
            let span = span_of(task_id, worker_id, &results);
            let results = results.into_iter().map(TargetReport::reported).collect();
            let returned = returned.into_iter().map(ReturnedTarget::returned).collect();
            let report = Report { task_id, worker_id: worker_id.clone(), results, returned };
            answer.merge(Box::pin(self.report_isolated(report, now).instrument(span)).await?);
            spent += begun.elapsed();
        }
        metric::REPORT_SECONDS.observe_duration(spent, &[]);
        metric::RESULTS_REFUSED.increment(answer.refused.len() as u64, &[]);
        Ok(answer)
    }

    /// Stores which desktops have no room, before their targets are deferred: otherwise the targets
    /// would be dispatched again at once.
    async fn store_full(
        &self,
        worker_id: &WorkerId,
        full: Vec<(TaskId, DesktopId)>,
        now: Timestamp,
    ) -> Result<(), Error> {
        if full.is_empty() {
            return Ok(());
        }
        desktop::set_full(&mut *self.store.acquire().await?, worker_id, &full, now + FULL_FOR).await
    }

    /// Stores started scripts, so that running records have a start time. Values that the database
    /// refuses are logged and dropped.
    pub async fn add_started(&self, worker_id: &WorkerId, started: &[StartedTarget]) -> Result<(), Error> {
        let added = batch::add_started(&mut *self.store.acquire().await?, worker_id, started).await;
        added.or_else(without_hint)
    }

    pub(super) async fn report_task(&self, report: Report, now: Timestamp) -> Result<ReportAnswer, Error> {
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
        let Self { ordinal, attempt, batch_id, project_id, desktop_id, agent_id, is_authentic, .. } = self;
        let Self { scripts, reboots_from, .. } = self;
        ReportedTarget {
            ordinal,
            attempt,
            batch_id,
            project_id,
            desktop_id,
            agent_id,
            is_authentic,
            scripts,
            reboots_from,
        }
    }
}

impl ReturnedTarget {
    fn returned(self) -> engine::ReturnedTarget {
        let Self { batch_id, ordinal, handed, given_back, .. } = self;
        engine::ReturnedTarget { batch_id, ordinal, handed, given_back }
    }
}

/// Drops a hint that the database refuses: it must not block the results that come with it.
fn without_hint(error: Error) -> Result<(), Error> {
    if !error.is_of_values() {
        return Err(error);
    }
    tracing::error!(error = &error as &dyn std::error::Error, "the database refused a worker's hint");
    Ok(())
}

/// Span of the store operation in the task's trace: a child of the first sampled result, with links
/// to the remaining ones.
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
