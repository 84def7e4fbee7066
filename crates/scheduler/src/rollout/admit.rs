//! Cuts: the next targets of open waves go to workers.

use domain::{Timestamp, ids::TaskId};
use engine::Admission;
use store::{Error, TaskRows, task};
use telemetry::trace;
use tracing::{Instrument as _, Span};

use super::ENGINE;
use crate::Scheduler;

/// Tasks that one statement finds.
const TASKS_AT_ONCE: i64 = 100;

impl Scheduler {
    /// One cut of one task: true when another one may follow at once.
    pub async fn admit(&self, task_id: TaskId, now: Timestamp) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        let cut = ENGINE.admit(&mut TaskRows::new(&mut tx), task_id, now).await?;
        let Some(cut) = cut else { return Ok(false) };
        self.store.commit_decision(tx, &cut.decision).instrument(span_of(task_id, &cut)).await?;
        Ok(cut.has_more)
    }

    /// One cut of every task that may have something to cut; true when another one may follow at once. A task that
    /// waits for results before it may admit more keeps no other one waiting.
    pub async fn cut_all(&self, now: Timestamp) -> Result<bool, Error> {
        let (mut more, mut after) = (false, None);
        loop {
            let mut connection = self.store.acquire().await?;
            let task_ids = task::to_cut(&mut connection, after, now, TASKS_AT_ONCE).await?;
            drop(connection);
            for &task_id in &task_ids {
                more |= self.admit(task_id, now).await?;
            }
            after = task_ids.last().copied();
            if i64::try_from(task_ids.len()).unwrap_or(i64::MAX) < TASKS_AT_ONCE {
                return Ok(more);
            }
        }
    }
}

/// A part of the task's trace, when the cut admits something.
fn span_of(task_id: TaskId, cut: &Admission) -> Span {
    let Some((wave, targets)) = cut.admitted else { return Span::none() };
    trace::child(
        cut.trace_context.as_deref(),
        || tracing::info_span!(target: trace::TARGET, parent: None, "cut", %task_id, wave, targets),
    )
}
