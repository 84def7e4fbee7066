//! Isolates failures: of one task from the other tasks, and of a result that the database refuses
//! from the other results of its task. No worker sends such a result for ever.

use domain::{Timestamp, ids::TaskId};
use engine::{Report, ReportParts, Split};
use store::Error;
use telemetry::metric;

use super::ReportAnswer;
use crate::Scheduler;

/// Logs the error of a step of one task, so that its loop goes on with the other tasks and repeats
/// the step in its next round. Returns `None` then.
///
/// # Errors
///
/// When the database is unavailable, which concerns every task.
pub(crate) fn of_one_task<T>(
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
        let mut parts = ReportParts::new(report);
        while let Some(part) = parts.next_part() {
            let error = match self.report_task(part, now).await {
                Ok(stored) => {
                    answer.merge(stored);
                    continue;
                }
                Err(error) if error.is_of_all_work() => return Err(error),
                Err(error) => error,
            };
            match if error.is_of_values() { parts.split() } else { Split::Impossible } {
                Split::Halved => {}
                Split::Blanked { ordinal, desktop_id } => tracing::error!(
                    %task_id, ordinal, %desktop_id, error = &error as &dyn std::error::Error,
                    "the database refused a result; it is stored as UNKNOWN"
                ),
                Split::Impossible => {
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
