//! Which ready batches a worker gets.

use chrono::TimeDelta;
use domain::{Timestamp, ids::WorkerId, quarantine};

use super::Engine;
use crate::{
    Faults, LeaseRows, Rule,
    row::{LeaseChoice, ReadyBatch},
};

/// Batches that one pull looks at.
const BATCHES_PER_PULL: u32 = 64;

impl<F: Faults> Engine<F> {
    /// Locks the batches that a worker may lease now, oldest first. Suspected batches (see `domain::quarantine`) go out one at a
    /// time: at most one is among them, and none while the worker may still die of another one. A lease lasts `lease`.
    pub async fn leasable<R: LeaseRows>(
        &self,
        rows: &mut R,
        worker_id: &WorkerId,
        now: Timestamp,
        lease: TimeDelta,
    ) -> Result<Vec<ReadyBatch>, R::Error> {
        let with_suspended = self.faults.breaks(Rule::LeaseWhileSuspended);
        let (mut ready, mut has_suspect) =
            rows.lock_leasable(worker_id, now - lease, with_suspended, BATCHES_PER_PULL).await?;
        ready.retain(|batch| {
            if !quarantine::is_suspect(batch.worker_deaths) {
                return true;
            }
            !std::mem::replace(&mut has_suspect, true)
        });
        Ok(ready)
    }

    /// Chooses batches while `room` targets allow. The last one is split to fit.
    pub fn choose(&self, ready: &[ReadyBatch], mut room: u32) -> Vec<LeaseChoice> {
        let mut choices = Vec::new();
        for batch in ready {
            if room == 0 {
                break;
            }
            let part = (batch.size > room).then_some(room);
            choices.push(LeaseChoice { task_id: batch.task_id, batch_id: batch.batch_id, part });
            room -= batch.size.min(room);
        }
        choices
    }
}
