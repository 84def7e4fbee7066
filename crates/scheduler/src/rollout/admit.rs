//! Batching: assigns the next targets of open waves to workers.

use std::collections::HashMap;

use domain::{
    Timestamp,
    ids::{TaskId, WorkerId},
    limits,
};
use engine::{Admission, Changes, Rows as _, Wake, row::NewBatch};
use store::{Error, TaskRows, Tx, effect, task};
use telemetry::trace;
use tracing::{Instrument as _, Span};

use super::{ENGINE, isolate::of_one_task, lease::Leases};
use crate::{Scheduler, waiting_pulls::Claim};

/// Maximum number of tasks read by one statement.
const TASKS_AT_ONCE: i64 = 100;

impl Scheduler {
    /// Performs one batching step of a task. Returns true if another step can follow at once.
    pub async fn admit(&self, task_id: TaskId, now: Timestamp) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        let admission = ENGINE.admit(&mut TaskRows::new(&mut tx), task_id, now).await?;
        let Some(admission) = admission else { return Ok(false) };
        let (span, Admission { mut decision, has_more, .. }) = (span_of(task_id, &admission), admission);
        let claims = self.pulls.claim(&few_targets(&decision.changes.batches.insert));
        if !claims.is_empty() {
            // The claimed pulls need no notification, and no other worker has a new batch.
            decision.changes.wakes.remove(&Wake::Ready);
        }
        let leases = self.store_admission(tx, &decision.changes, claims, now).instrument(span).await?;
        effect::report(&decision);
        for (claim, leases) in leases {
            claim.answer(leases.pulled);
        }
        Ok(has_more)
    }

    /// Stores an admission, and leases its batches to the claimed pulls with the same commit.
    async fn store_admission(
        &self,
        mut tx: Tx,
        changes: &Changes,
        claims: Vec<Claim>,
        now: Timestamp,
    ) -> Result<Vec<(Claim, Leases)>, Error> {
        TaskRows::new(&mut tx).apply(changes).await?;
        let mut leased = Vec::with_capacity(claims.len());
        for claim in claims {
            match self.lease_within(&mut tx, &claim.worker_id, claim.room, now).await {
                Ok(leases) => leased.push((claim, leases)),
                // The transaction is usable. The pull reads the batches again and reports the
                // error.
                Err(error @ Error::Corrupt { .. }) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "admitted targets not leased");
                }
                Err(error) => return Err(error),
            }
        }
        self.store.commit(tx).await?;
        Ok(leased)
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

/// Counts the targets of new batches by worker, if they are few enough to be leased under the lock
/// of their wave.
fn few_targets(batches: &[NewBatch]) -> HashMap<&WorkerId, u32> {
    let mut by_worker: HashMap<&WorkerId, u32> = HashMap::new();
    for batch in batches {
        let targets = u32::try_from(batch.members.len()).unwrap_or(u32::MAX);
        let sum = by_worker.entry(&batch.worker_id).or_default();
        *sum = sum.saturating_add(targets);
    }
    let all = by_worker.values().fold(0, |sum: u32, targets| sum.saturating_add(*targets));
    if all <= limits::MAX_TARGETS_PER_FIRST_CUT { by_worker } else { HashMap::new() }
}

/// Span in the task's trace, if the step admits targets.
fn span_of(task_id: TaskId, admission: &Admission) -> Span {
    let Some((wave, targets)) = admission.admitted else { return Span::none() };
    trace::child(
        admission.trace_context.as_deref(),
        || tracing::info_span!(target: trace::TARGET, parent: None, "admit", %task_id, wave, targets),
    )
}
