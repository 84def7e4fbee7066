//! Batching: assigns the next targets of open waves to workers.

use domain::{Timestamp, ids::TaskId};
use engine::Admission;
use store::{Error, TaskRows, task};
use telemetry::trace;
use tracing::{Instrument as _, Span};

use super::{ENGINE, isolate::of_one_task};
use crate::Scheduler;

/// Maximum number of tasks read by one statement.
const TASKS_AT_ONCE: i64 = 100;

impl Scheduler {
    /// Performs one batching step of a task. Returns true if another step can follow at once.
    pub async fn admit(&self, task_id: TaskId, now: Timestamp) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        let admission = ENGINE.admit(&mut TaskRows::new(&mut tx), task_id, now).await?;
        let Some(admission) = admission else { return Ok(false) };
        self.store.commit_decision(tx, &admission.decision).instrument(span_of(task_id, &admission)).await?;
        Ok(admission.has_more)
    }

    /// Performs one batching step of every task that has targets to admit. Returns true if another
    /// step can follow at once. A task that waits for results or fails does not delay other tasks.
    pub async fn admit_all(&self, now: Timestamp) -> Result<bool, Error> {
        let (mut more, mut after) = (false, None);
        loop {
            let mut connection = self.store.acquire().await?;
            let task_ids = task::admissible(&mut connection, after, now, TASKS_AT_ONCE).await?;
            drop(connection);
            for &task_id in &task_ids {
                let step = self.admit(task_id, now).await;
                more |= of_one_task(step, task_id, "admit")?.unwrap_or(false);
            }
            after = task_ids.last().copied();
            if i64::try_from(task_ids.len()).unwrap_or(i64::MAX) < TASKS_AT_ONCE {
                return Ok(more);
            }
        }
    }
}

/// Span in the task's trace, if the step admits targets.
fn span_of(task_id: TaskId, admission: &Admission) -> Span {
    let Some((wave, targets)) = admission.admitted else { return Span::none() };
    trace::child(
        admission.trace_context.as_deref(),
        || tracing::info_span!(target: trace::TARGET, parent: None, "admit", %task_id, wave, targets),
    )
}
