//! Isolates failures: of one task from the other tasks, and of a result that the database refuses
//! from the other results of its task. No worker sends such a result for ever.

use domain::{Timestamp, ids::TaskId, outcome::Outcome, process::ProcessReport};
use engine::{Report, ReportedTarget, ScriptResult};
use store::Error;
use telemetry::metric;

use super::ReportAnswer;
use crate::Scheduler;

/// Reason of the record of a result that the database refuses.
const REFUSED_REASON: &str =
    "the database refused the values of the agent's result; the log of the scheduler holds the cause";

/// Logs the error of a step of one task, so that its loop goes on with the other tasks and repeats
/// the step in its next round. Returns `None` then.
///
/// # Errors
///
/// When the database is unavailable, which concerns every task.
pub(super) fn of_one_task<T>(
    step: Result<T, Error>,
    task_id: TaskId,
    name: &'static str,
) -> Result<Option<T>, Error> {
    match step {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_of_all_work() => Err(error),
        Err(error) => {
            tracing::error!(
                %task_id, step = name, error = &error as &dyn std::error::Error,
                "a step of a task failed; it is repeated"
            );
            metric::TASK_STEPS_FAILED.increment(1, &[name]);
            Ok(None)
        }
    }
}

/// Part of a task's report that is stored in one transaction.
struct Part {
    report: Report,
    /// Whether no value of the result comes from an agent.
    is_blank: bool,
}

impl Scheduler {
    /// Stores one task's part of a report in one transaction. If the database refuses it for its
    /// values, halves it until the refused result is alone, and stores that one as UNKNOWN.
    ///
    /// The task is listed in [`ReportAnswer::failed`] if its own rows are the cause, or its
    /// transaction lost against others: its worker reports it again.
    ///
    /// # Errors
    ///
    /// When the database is unavailable.
    pub(super) async fn report_isolated(
        &self,
        report: Report,
        now: Timestamp,
    ) -> Result<ReportAnswer, Error> {
        let task_id = report.task_id;
        let mut answer = ReportAnswer::default();
        let mut parts = vec![Part { report, is_blank: false }];
        while let Some(part) = parts.pop() {
            let error = match self.report_task(part.report.clone(), now).await {
                Ok(stored) => {
                    answer.merge(stored);
                    continue;
                }
                Err(error) if error.is_of_all_work() => return Err(error),
                Err(error) => error,
            };
            let smaller = if error.is_of_values() { smaller(part) } else { None };
            let is_culprit = smaller.as_ref().is_some_and(|parts| parts.iter().all(|part| part.is_blank));
            match smaller {
                Some(smaller) if !is_culprit => parts.extend(smaller),
                Some(blank) => {
                    let desktop = blank.first().and_then(|part| part.report.results.first());
                    tracing::error!(
                        %task_id, ordinal = desktop.map(|result| result.ordinal),
                        desktop_id = desktop.map(|result| result.desktop_id.as_str()),
                        error = &error as &dyn std::error::Error,
                        "the database refused a result; it is stored as UNKNOWN"
                    );
                    parts.extend(blank);
                }
                None => {
                    tracing::error!(
                        %task_id, error = &error as &dyn std::error::Error,
                        "storing the results of a task failed"
                    );
                    answer.failed.push(task_id);
                    return Ok(answer);
                }
            }
        }
        Ok(answer)
    }
}

/// Smaller parts that hold the same targets, the one to store first last. `None` if the part holds
/// no value of an agent that the database could refuse.
fn smaller(part: Part) -> Option<Vec<Part>> {
    let Part { report: Report { task_id, worker_id, mut results, returned }, is_blank } = part;
    let part = |results: Vec<ReportedTarget>, returned, is_blank| Part {
        report: Report { task_id, worker_id: worker_id.clone(), results, returned },
        is_blank,
    };
    if results.is_empty() || is_blank {
        return None;
    }
    // Results come first: they may halt the task, and then it takes no target back.
    if !returned.is_empty() {
        return Some(vec![part(Vec::new(), returned, false), part(results, Vec::new(), false)]);
    }
    let last = results.split_off(results.len() / 2);
    if results.is_empty() {
        let blank = last.into_iter().map(without_values).collect();
        return Some(vec![part(blank, Vec::new(), true)]);
    }
    Some(vec![part(last, Vec::new(), false), part(results, Vec::new(), false)])
}

/// Replaces the results of a target's scripts: each outcome is UNKNOWN.
fn without_values(result: ReportedTarget) -> ReportedTarget {
    let unknown = |_: ScriptResult| ScriptResult {
        outcome: Outcome::Unknown,
        exit_code: None,
        started_at: None,
        ended_at: None,
        output: String::new(),
        reason: REFUSED_REASON.to_owned(),
        process: ProcessReport::default(),
    };
    ReportedTarget { scripts: result.scripts.into_iter().map(unknown).collect(), ..result }
}
