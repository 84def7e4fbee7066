//! Selects the ready batches that a worker leases.

use chrono::TimeDelta;
use domain::{Timestamp, ids::WorkerId, quarantine};

use super::Engine;
use crate::{
    Faults, LeaseRows, Rule,
    row::{LeaseChoice, ReadyBatch},
};

/// Number of batches that one pull reads.
const BATCHES_PER_PULL: u32 = 64;

impl<F: Faults> Engine<F> {
    /// Locks the batches that a worker may lease now, oldest first. Of batches under suspicion (see
    /// `domain::quarantine`) it returns at most one. It returns none while the worker holds another
    /// one that it leased within the last `lease`, the duration of a lease.
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

    /// Chooses batches until their targets fill `room`. The last batch is split if it does not fit.
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
