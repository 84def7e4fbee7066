//! The operations. Each one loads locked rows, decides, and returns the decision.

mod admit;
mod approve;
mod awaited;
mod concurrency;
mod expire;
mod hand_out;
mod lease;
mod out_of_service;
mod overdue;
mod perform;
mod reclaim;
mod report;
mod room;
mod stop;
mod suspend;

pub use admit::Admission;
pub use approve::{Approval, Approved};
use domain::{Timestamp, ids::TaskId};
pub use report::{
    Refusal, Report, ReportAnswer, ReportParts, ReportedTarget, ReturnedTarget, ScriptResult, Split,
};
pub use suspend::{Freeze, Suspension};

use crate::{
    Faults, NoFaults, Rows, TargetDetail, TargetSelection,
    rollout::{Need, Rollout, Targets},
};

/// The rollout operations. Generic over deliberate faults, which only the simulator uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Engine<F = NoFaults> {
    faults: F,
}

impl Engine {
    /// Creates the operations without faults.
    pub const fn new() -> Self {
        Self { faults: NoFaults }
    }
}

impl<F: Faults> Engine<F> {
    /// Creates the operations with deliberate faults.
    pub const fn with_faults(faults: F) -> Self {
        Self { faults }
    }

    /// Locks a task and creates its working copy. Returns `None` when the task does not exist.
    async fn load<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        ordinals: &[u32],
        now: Timestamp,
    ) -> Result<Option<Rollout<F>>, R::Error> {
        let snapshot = rows.lock(task_id, ordinals).await?;
        Ok(snapshot.map(|snapshot| Rollout::new(self.faults, task_id, snapshot, now)))
    }

    /// Reads targets and remembers which of them a person stopped.
    async fn targets<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        selection: TargetSelection<'_>,
        detail: TargetDetail<'_>,
    ) -> Result<Targets, R::Error> {
        if matches!(selection, TargetSelection::Ordinals([])) {
            return Ok(Targets::new());
        }
        let (task_id, project_id) = (rollout.task_id(), rollout.facts.project_id.clone());
        let targets = rows.targets(task_id, &project_id, selection, detail).await?;
        rollout.note_stops(&targets);
        Ok(targets.into_iter().map(|target| (target.ordinal, target)).collect())
    }

    /// Reads the rows that are needed to count failures.
    async fn prepare_failures<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
    ) -> Result<(), R::Error> {
        rollout.fingerprint_ids = rows.fingerprint_ids(rollout.task_id()).await?;
        Ok(())
    }

    /// Reads the rows that are needed to cut a task short.
    async fn prepare_withdrawal<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
    ) -> Result<(), R::Error> {
        let ready = rows.lock_ready(rollout.task_id()).await?;
        rollout.provide_ready_batches(ready);
        Ok(())
    }

    /// Applies the rules until the rollout is settled, and loads the rows that they need.
    async fn settle<R: Rows>(&self, rows: &mut R, rollout: &mut Rollout<F>) -> Result<(), R::Error> {
        let task_id = rollout.task_id();
        while let Some(need) = rollout.settle() {
            match need {
                Need::NextWave(after) => {
                    let next = rows.lock_next_wave(task_id, after).await?;
                    rollout.provide_next_wave(next);
                }
                Need::ReadyBatches => self.prepare_withdrawal(rows, rollout).await?,
                Need::OtherTallies(waves) => {
                    let tally = rows.other_tallies(task_id, &waves).await?;
                    rollout.provide_other_tallies(tally);
                }
            }
        }
        rollout.wake_for_places();
        Ok(())
    }
}
