//! Stores what workers report: one transaction for each task of a report, acknowledged after its commit.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Instant,
};

use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
    outcome::Outcome,
};
use store::{
    Connection, Error, batch,
    batch::{BatchTerms, Reported},
    record::{self, NewRecord},
    settle::{count_outcomes, settle, settle_counted, settle_waiting, store_outcomes},
    stop, straggler,
    task::{self, TaskFacts},
    wave::{self, Live},
};

use telemetry::{metric, trace};
use tracing::{Instrument as _, Span};

use super::Engine;

/// How one script of a target ended.
#[derive(Debug, Clone)]
pub struct ScriptReport {
    /// How.
    pub outcome: Outcome,
    /// Where it ended by itself.
    pub exit_code: Option<i32>,
    /// Where it started.
    pub started_at: Option<Timestamp>,
    /// When it ended; the scheduler's time where the agent did not say.
    pub ended_at: Option<Timestamp>,
    /// What it printed.
    pub output: String,
    /// Why it ended so.
    pub reason: String,
}

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
    pub scripts: Vec<ScriptReport>,
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

impl Engine {
    /// Stores results and takes returned targets back. Sending the same again changes nothing.
    ///
    /// Each task has a transaction of its own: one that cannot be stored is named in [`ReportAnswer::failed`], and the
    /// others are stored. Otherwise one task would stop every worker that reports anything of it.
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
            let storing = async {
                let mut of_task = ReportAnswer::default();
                let mut tx = self.store.begin().await?;
                report_task(&mut tx, task_id, worker_id, results, returned, now, &mut of_task).await?;
                let commit = trace::below(|| tracing::info_span!(target: trace::TARGET, "commit"));
                self.store.commit(tx).instrument(commit).await?;
                Ok(of_task)
            };
            match Box::pin(storing.instrument(span)).await {
                Ok(of_task) => answer.merge(of_task),
                Err(error) if is_of_one_task(&error) => {
                    tracing::error!(%task_id, error = &error as &dyn std::error::Error, "results cannot be stored");
                    answer.failed.push(task_id);
                }
                Err(error) => return Err(error),
            }
        }
        metric::REPORT_SECONDS.took(begun.elapsed(), &[]);
        metric::RESULTS_REFUSED.count(answer.refused.len() as u64, &[]);
        Ok(answer)
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

/// Scripts that ended, for whoever watches.
pub(super) fn count_records(outcomes: impl Iterator<Item = Outcome>) {
    let mut numbers: HashMap<Outcome, u64> = HashMap::new();
    outcomes.for_each(|outcome| *numbers.entry(outcome).or_default() += 1);
    for (outcome, number) in numbers {
        metric::RECORDS.count(number, &[outcome.as_str()]);
    }
}

/// What is reported, for whoever watches.
fn note(task_id: TaskId, results: &[TargetReport]) {
    metric::REPORT_TARGETS.note(results.len() as f64, &[]);
    count_records(results.iter().flat_map(|result| &result.scripts).map(|script| script.outcome));
    for result in results {
        let started_at = result.scripts.iter().find_map(|script| script.started_at);
        let seconds =
            started_at.zip(task_id.made_at()).map(|(started, made)| (started - made).as_seconds_f64());
        if let Some(seconds) = seconds {
            metric::START_SECONDS.note(seconds.max(0.0), &[]);
        }
    }
}

async fn report_task(
    connection: &mut Connection,
    task_id: TaskId,
    worker_id: &WorkerId,
    results: Vec<TargetReport>,
    returned: Vec<ReturnedTarget>,
    now: Timestamp,
    answer: &mut ReportAnswer,
) -> Result<(), Error> {
    let ordinals: Vec<u32> = results
        .iter()
        .map(|result| result.ordinal)
        .chain(returned.iter().map(|target| target.ordinal))
        .collect();
    let mut live = wave::lock(connection, task_id, &ordinals).await?;
    // After the lock: the task may just have ended.
    let Some(facts) = task::facts(connection, task_id).await? else {
        answer
            .refused
            .extend(results.iter().map(|result| (task_id, result.ordinal, "no such task".to_owned())));
        return Ok(());
    };
    let named: Vec<Reported<'_>> = results
        .iter()
        .map(|result| Reported {
            ordinal: result.ordinal,
            batch_id: result.batch_id,
            agent_id: &result.agent_id,
        })
        .collect();
    let claims = batch::claims(connection, task_id, worker_id, &named).await?;
    let mut seen = HashSet::new();
    let mut fitting = Vec::new();
    for (result, claim) in results.into_iter().zip(claims) {
        let refusal = claim.refusal().map(str::to_owned);
        match misfit(&result, &facts, &live).or(refusal) {
            Some(reason) => answer.refused.push((task_id, result.ordinal, reason)),
            None if seen.insert(result.ordinal) => fitting.push(result),
            None => {}
        }
    }
    if !fitting.is_empty() {
        store_results(connection, task_id, &facts, &mut live, fitting, now, answer).await?;
    }
    if !returned.is_empty() {
        // The results may just have halted or ended the task.
        let Some(facts) = task::facts(connection, task_id).await? else { return Ok(()) };
        take_back(connection, task_id, &facts, &mut live, worker_id, returned, now).await?;
        settle_waiting(connection, task_id, &facts, &mut live, now).await?;
    }
    Ok(())
}

/// Why a result cannot belong to a target of the task, if so.
fn misfit(result: &TargetReport, facts: &TaskFacts, live: &Live) -> Option<String> {
    if result.project_id != facts.project_id {
        // Says nothing of what exists in another project.
        return Some("no such task".to_owned());
    }
    if result.attempt != u32::from(facts.attempt) {
        return Some(format!("attempt {} is not the task's, {}", result.attempt, facts.attempt));
    }
    if result.scripts.len() != usize::from(facts.script_count) {
        return Some(format!("{} script results for {} scripts", result.scripts.len(), facts.script_count));
    }
    if !live.waves.iter().any(|row| row.has_admitted(result.ordinal)) {
        return Some(format!("target {} was never admitted", result.ordinal));
    }
    None
}

async fn store_results(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    results: Vec<TargetReport>,
    now: Timestamp,
    answer: &mut ReportAnswer,
) -> Result<(), Error> {
    let mut per_batch: HashMap<BatchId, u32> = HashMap::new();
    let mut ordinals = Vec::with_capacity(results.len());
    let mut records = Vec::with_capacity(results.len());
    for result in results {
        ordinals.push(result.ordinal);
        if let Some(batch_id) = result.batch_id {
            *per_batch.entry(batch_id).or_default() += 1;
        }
        records.extend(result.scripts.into_iter().zip(0u16..).map(|(script, place)| NewRecord {
            ordinal: result.ordinal,
            desktop_id: result.desktop_id.clone(),
            script: place,
            outcome: script.outcome,
            exit_code: script.exit_code,
            started_at: script.started_at,
            ended_at: script.ended_at.unwrap_or(now),
            output: script.output,
            reason: script.reason,
        }));
    }
    // Every target of an ended task that was handed out has its record: what comes now was counted before.
    if !facts.status.is_ended() {
        let stored = count_outcomes(connection, task_id, facts, live, &records).await?;
        answer.stored += u32::try_from(stored.len()).unwrap_or(u32::MAX);
        if stored.len() < ordinals.len() {
            let known = record::ended(connection, task_id, &ordinals).await?;
            let foreign = ordinals.iter().filter(|ordinal| !known.contains(ordinal));
            let reason = "the target belongs to another desktop";
            answer.refused.extend(foreign.map(|&ordinal| (task_id, ordinal, reason.to_owned())));
            // Targets given back before their result came another way.
            let known: Vec<u32> = known.into_iter().collect();
            straggler::delete(connection, task_id, live, &known).await?;
        } else if per_batch.is_empty() {
            // From a journal: the target may be waiting as a straggler.
            straggler::delete(connection, task_id, live, &ordinals).await?;
        }
        // Only now: what waits and what has ended must fit together.
        settle_counted(connection, task_id, facts, live, &stored, now).await?;
    }
    if !per_batch.is_empty() {
        let mut per_batch: Vec<(BatchId, u32)> = per_batch.into_iter().collect();
        per_batch.sort_unstable();
        batch::note_results(connection, task_id, &per_batch).await?;
    }
    Ok(())
}

/// Returned targets become stragglers, unless they ended or their wave was cut short before they were handed out.
async fn take_back(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    worker_id: &WorkerId,
    returned: Vec<ReturnedTarget>,
    now: Timestamp,
) -> Result<(), Error> {
    let mut by_batch: BTreeMap<BatchId, Vec<ReturnedTarget>> = BTreeMap::new();
    for target in returned {
        by_batch.entry(target.batch_id).or_default().push(target);
    }
    for (batch_id, targets) in by_batch {
        let ordinals: Vec<u32> = targets.iter().map(|target| target.ordinal).collect();
        let Some((terms, members)) =
            batch::take_out(connection, task_id, batch_id, worker_id, &ordinals).await?
        else {
            continue;
        };
        let ended = record::ended(connection, task_id, &ordinals).await?;
        let handed: HashSet<u32> =
            targets.iter().filter(|target| target.handed).map(|target| target.ordinal).collect();
        for maybe_handed in [false, true] {
            let part = members
                .iter()
                .filter(|member| !ended.contains(&member.ordinal))
                .filter(|member| (terms.maybe_handed || handed.contains(&member.ordinal)) == maybe_handed)
                .cloned()
                .collect();
            requeue(connection, facts, live, &BatchTerms { maybe_handed, ..terms }, part, now).await?;
        }
    }
    Ok(())
}

/// Puts targets of a lost batch among the stragglers. Those that certainly nobody has started end as STOPPED where a person
/// stopped them, and are withdrawn where the wave was cut short.
pub(super) async fn requeue(
    connection: &mut Connection,
    facts: &TaskFacts,
    live: &mut Live,
    terms: &BatchTerms,
    mut members: Vec<domain::cut::Member>,
    now: Timestamp,
) -> Result<(), Error> {
    if members.is_empty() || facts.status.is_ended() {
        return Ok(());
    }
    if !terms.maybe_handed {
        let ends = members.iter().map(|member| (member.ordinal, &member.desktop_id)).collect();
        let stopped = stop::before_start(connection, terms.task_id, facts, ends, now).await?;
        if !stopped.is_empty() {
            members.retain(|member| !stopped.iter().any(|record| record.ordinal == member.ordinal));
            store_outcomes(connection, terms.task_id, facts, live, &stopped, now).await?;
        }
    }
    if facts.status.admits_no_more() && !terms.maybe_handed {
        let Some(row) = live.wave(terms.wave) else { return Ok(()) };
        let number = u32::try_from(members.len()).unwrap_or(u32::MAX);
        wave::withdraw(connection, terms.task_id, row, number).await?;
        return settle(connection, terms.task_id, facts, live, now).await;
    }
    straggler::insert(connection, facts, live, terms, None, &members).await
}
