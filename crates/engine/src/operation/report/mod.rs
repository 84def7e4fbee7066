//! Reports of workers: results, and targets that they return.

mod await_return;
mod fence;
mod parts;
mod take_back;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
    outcome::Outcome,
    process::ProcessReport,
};

use self::fence::Claims;
pub use self::parts::{ReportParts, Split};
use super::Engine;
use crate::{
    Decision, Faults, Rows, Rule, TargetDetail, TargetSelection,
    rollout::{Rollout, Targets},
    row::{BatchRow, NewRecord},
};

/// Result of one script of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptResult {
    /// Outcome of the script.
    pub outcome: Outcome,
    /// Exit code; `None` if the agent killed the script, or it never started.
    pub exit_code: Option<i32>,
    /// Start time by the agent's clock; `None` if the script never started.
    pub started_at: Option<Timestamp>,
    /// End time by the agent's clock; `None` if the agent reports none, and then the scheduler's
    /// time is stored.
    pub ended_at: Option<Timestamp>,
    /// Captured output of the script.
    pub output: String,
    /// Reason of the outcome; empty for a success.
    pub reason: String,
    /// Facts about the process of the script.
    pub process: ProcessReport,
}

/// Results of all scripts of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedTarget {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Attempt of the task.
    pub attempt: u32,
    /// Batch in which the target was delivered; `None` if the worker does not know it.
    pub batch_id: Option<BatchId>,
    /// Project of the reporting desktop.
    pub project_id: ProjectId,
    /// Desktop that reports the result.
    pub desktop_id: DesktopId,
    /// Agent of that desktop.
    pub agent_id: String,
    /// Whether the agent has authenticated the result, so that it counts from any worker.
    pub is_authentic: bool,
    /// One result per script of the task, in order. Fewer if the desktop reboots before the
    /// remaining scripts.
    pub scripts: Vec<ScriptResult>,
    /// Boot that ends with a reboot of the desktop; `None` if the agent announces no reboot. Empty
    /// if the agent does not know its boot.
    pub reboots_from: Option<String>,
}

/// A target that a worker returns without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnedTarget {
    /// Batch in which the worker received the target.
    pub batch_id: BatchId,
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Whether the agent may have received the target. False only when it certainly did not.
    pub handed: bool,
    /// Whether the agent gave the target back. It has certainly not started then, also if an
    /// earlier batch delivered it: the journal of that agent does not know it.
    pub given_back: bool,
}

/// A result that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Ordinal that the result names.
    pub ordinal: u32,
    /// Human-readable reason of the refusal.
    pub reason: String,
}

/// One worker's report about one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Task of the results.
    pub task_id: TaskId,
    /// Worker that reports.
    pub worker_id: WorkerId,
    /// Results of targets.
    pub results: Vec<ReportedTarget>,
    /// Targets that the worker returns.
    pub returned: Vec<ReturnedTarget>,
}

/// The answer to a report.
#[derive(Debug)]
pub struct ReportAnswer {
    /// Row changes and effects; `None` when the task does not exist.
    pub decision: Option<Decision>,
    /// Number of targets that ended through this report. All other results were already stored.
    pub stored: u32,
    /// Results that match no target of the task.
    pub refused: Vec<Refusal>,
}

impl<F: Faults> Engine<F> {
    /// Stores results and takes returned targets back. A repeated report changes nothing.
    pub async fn report<R: Rows>(
        &self,
        rows: &mut R,
        report: Report,
        now: Timestamp,
    ) -> Result<ReportAnswer, R::Error> {
        let Report { task_id, worker_id, results, returned } = report;
        let ordinals = ordinals_of(&results, &returned);
        let Some(mut rollout) = self.load(rows, task_id, &ordinals, now).await? else {
            return Ok(no_such_task(&results));
        };
        let named = batch_ids(results.iter().filter_map(|result| result.batch_id));
        let batches = self.returned_batches(rows, task_id, &returned, &named).await?;
        let (selection, detail) = (TargetSelection::Ordinals(&ordinals), TargetDetail::Leases(&named));
        let mut targets = self.targets(rows, &mut rollout, selection, detail).await?;
        self.load_kept_results(rows, &mut rollout, &targets).await?;
        let completed = |result| await_return::completed(&rollout.facts, result);
        let results: Vec<ReportedTarget> = results.into_iter().map(completed).collect();
        let claims = Claims::read(rows, task_id, &worker_id, &targets, &results).await?;
        let (fitting, refused) = fit(&rollout, &targets, &claims, results);
        if fitting.iter().any(ReportedTarget::has_failed) {
            self.prepare_failures(rows, &mut rollout).await?;
        }
        let status_before = rollout.facts.status;
        let stored = store_results(&mut rollout, &claims, &mut targets, fitting);
        // Settles before any target is taken back: the results may halt the task.
        self.settle(rows, &mut rollout).await?;
        let status = if rollout.breaks(Rule::StaleStatus) { status_before } else { rollout.facts.status };
        let held =
            batches.into_iter().filter(|batch| batch.worker_id == worker_id && batch.lease_until.is_some());
        take_back::take_back(&mut rollout, status, held, &mut targets, &returned);
        self.settle(rows, &mut rollout).await?;
        Ok(ReportAnswer { decision: Some(rollout.decide()), stored, refused })
    }

    /// Locks the batches of the returned targets. Locks the batches of results with them: counting
    /// the results locks these too, and a lease renewal locks both in the order of their ids.
    async fn returned_batches<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        returned: &[ReturnedTarget],
        of_results: &[BatchId],
    ) -> Result<Vec<BatchRow>, R::Error> {
        let named = batch_ids(returned.iter().map(|target| target.batch_id));
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let all = batch_ids(named.iter().chain(of_results).copied());
        let mut batches = rows.lock_batches(task_id, &all).await?;
        batches.retain(|batch| named.contains(&batch.batch_id));
        Ok(batches)
    }
}

/// Returns each batch id once, in lock order.
fn batch_ids(named: impl Iterator<Item = BatchId>) -> Vec<BatchId> {
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

impl ReportedTarget {
    fn has_failed(&self) -> bool {
        self.scripts.iter().any(|script| script.outcome.counts_as_failure())
    }
}

fn ordinals_of(results: &[ReportedTarget], returned: &[ReturnedTarget]) -> Vec<u32> {
    let ordinals = results.iter().map(|result| result.ordinal);
    ordinals.chain(returned.iter().map(|target| target.ordinal)).collect()
}

const NO_SUCH_TASK: &str = "no such task";

fn no_such_task(results: &[ReportedTarget]) -> ReportAnswer {
    let refused =
        results.iter().map(|result| Refusal { ordinal: result.ordinal, reason: NO_SUCH_TASK.to_owned() });
    ReportAnswer { decision: None, stored: 0, refused: refused.collect() }
}

/// Separates results that belong to targets of the task, one per target, from refused results. A
/// refused result never hides one that its target's own desktop reports.
fn fit<F: Faults>(
    rollout: &Rollout<F>,
    targets: &Targets,
    claims: &Claims,
    mut results: Vec<ReportedTarget>,
) -> (Vec<ReportedTarget>, Vec<Refusal>) {
    // A repeated result before a reboot must not hide that of all scripts.
    results.sort_by_key(|result| Reverse(result.scripts.len()));
    let mut seen = HashSet::new();
    let (mut fitting, mut refused) = (Vec::new(), Vec::new());
    for result in results {
        // An agent also says that it rejects an order which nobody signed. A stolen worker could
        // keep such a result until the real order is elsewhere.
        let vouches =
            result.is_authentic && result.scripts.iter().any(|script| script.outcome != Outcome::Rejected);
        let refusal = || claims.of(&result).refusal(vouches).map(str::to_owned);
        match misfit(rollout, targets, &result).or_else(refusal) {
            Some(reason) => refused.push(Refusal { ordinal: result.ordinal, reason }),
            None if seen.insert(result.ordinal) => fitting.push(result),
            None => {}
        }
    }
    (fitting, refused)
}

/// Returns the reason why a result cannot belong to a target of the task; `None` if it can.
fn misfit<F: Faults>(rollout: &Rollout<F>, targets: &Targets, result: &ReportedTarget) -> Option<String> {
    let facts = &rollout.facts;
    if result.project_id != facts.project_id {
        // The text must not reveal whether the task exists in another project.
        return Some(NO_SUCH_TASK.to_owned());
    }
    if result.attempt != u32::from(facts.attempt) {
        return Some(format!(
            "attempt {} does not match the task's attempt {}",
            result.attempt, facts.attempt
        ));
    }
    if result.scripts.len() != usize::from(facts.script_count) && !await_return::is_pause(facts, result) {
        return Some(format!("{} script results for {} scripts", result.scripts.len(), facts.script_count));
    }
    if !rollout.waves.iter().any(|row| row.has_admitted(result.ordinal)) {
        return Some(format!("target {} was never admitted", result.ordinal));
    }
    if targets.get(&result.ordinal).is_none_or(|target| target.desktop_id != result.desktop_id) {
        return Some("the target belongs to another desktop".to_owned());
    }
    None
}

/// Stores accepted results. Returns the number of targets that ended, or that wait for the return
/// of their desktops.
fn store_results<F: Faults>(
    rollout: &mut Rollout<F>,
    claims: &Claims,
    targets: &mut Targets,
    results: Vec<ReportedTarget>,
) -> u32 {
    let mut per_batch: BTreeMap<BatchId, u32> = BTreeMap::new();
    for batch_id in results.iter().filter_map(|result| claims.batch_of(result)) {
        *per_batch.entry(batch_id).or_default() += 1;
    }
    rollout.changes().batches.results.extend(per_batch);
    let now = rollout.now;
    let is_late =
        |result: &&ReportedTarget| targets.get(&result.ordinal).is_some_and(|target| target.has_ended);
    let late = results.iter().filter(is_late).cloned();
    let late: Vec<NewRecord> = late.flat_map(|result| records_of(result, now)).collect();
    rollout.changes().late_results.extend(late.into_iter().filter(NewRecord::is_known));
    // Every delivered target of an ended task has its record, so this result was counted before.
    if rollout.facts.status.is_ended() {
        return 0;
    }
    let ordinals: Vec<u32> = results.iter().map(|result| result.ordinal).collect();
    let (ended_now, awaited) = await_return::await_returns(rollout, targets, results);
    let records = ended_now.into_iter().flat_map(|result| records_of(result, now)).collect();
    let ended = rollout.count(targets, records);
    for ordinal in ordinals {
        if let Some(maybe_delivered) = claims.deferred(ordinal) {
            // The target was returned before its result arrived through another worker.
            let wave = rollout.waves.iter().find(|row| row.has(ordinal)).map_or(0, |row| row.wave);
            rollout.undefer(wave, ordinal, maybe_delivered);
        }
    }
    u32::try_from(ended.len() + awaited).unwrap_or(u32::MAX)
}

fn records_of(result: ReportedTarget, now: Timestamp) -> impl Iterator<Item = NewRecord> {
    let ReportedTarget { ordinal, desktop_id, scripts, .. } = result;
    scripts.into_iter().zip(0u16..).map(move |(script, place)| NewRecord {
        ordinal,
        desktop_id: desktop_id.clone(),
        script: place,
        outcome: script.outcome,
        exit_code: script.exit_code,
        started_at: script.started_at,
        ended_at: script.ended_at.unwrap_or(now),
        output: script.output,
        reason: script.reason,
        process: script.process,
        fingerprint_id: None,
    })
}
