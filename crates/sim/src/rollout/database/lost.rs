//! Batches that are lost: without a holder, or past a deadline: as `store::batch::lost`.

use domain::Timestamp;

use super::{Batch, Database, Terms};
use crate::rollout::{
    event::{BatchId, Worker},
    sabotage::Sabotage,
};

impl Database {
    fn is_orphan(&self, batch: &Batch, now: Timestamp) -> bool {
        match batch.leased_until {
            Some(until) => until <= now,
            None => self.workers.get(&batch.worker).is_none_or(|row| row.draining),
        }
    }

    /// Batches whose lease ran out, or whose worker is gone.
    pub(in crate::rollout) fn orphaned(&self, now: Timestamp) -> Vec<BatchId> {
        let orphans = self.batches.iter().filter(|(_, batch)| self.is_orphan(batch, now));
        orphans.map(|(&id, _)| id).collect()
    }

    /// Takes an orphaned batch away, if it still is one; says what it leaves: its targets without a result.
    pub(in crate::rollout) fn reclaim(&mut self, id: BatchId, now: Timestamp) -> Option<(Terms, Vec<u32>)> {
        if !self.is_orphan(self.batches.get(&id)?, now) {
            return None;
        }
        let (terms, mut left) = self.take_away(id)?;
        left.retain(|&ordinal| !self.has_ended(ordinal));
        Some((terms, left))
    }

    fn take_away(&mut self, id: BatchId) -> Option<(Terms, Vec<u32>)> {
        let batch = self.batches.remove(&id)?;
        let was_leased = batch.epoch > 0 && !self.sabotaged(Sabotage::ForgetEpochs);
        let terms = Terms { maybe_handed: batch.terms.maybe_handed || was_leased, ..batch.terms };
        Some((terms, batch.ordinals))
    }

    /// Ends every lease of a worker now.
    pub(in crate::rollout) fn expire_leases_of(&mut self, worker: Worker, now: Timestamp) {
        for batch in self.batches.values_mut().filter(|batch| batch.worker == worker) {
            if let Some(until) = &mut batch.leased_until {
                *until = now.min(*until);
            }
        }
    }

    fn is_overdue(batch: &Batch, now: Timestamp) -> bool {
        let Terms { deadlines, maybe_handed, .. } = batch.terms;
        let never_left = batch.leased_until.is_none() && !maybe_handed;
        (deadlines.finish_by <= now || never_left && deadlines.deliver_by <= now) && !batch.held
    }

    /// Batches past a deadline. The time of what is held does not run.
    pub(in crate::rollout) fn overdue_batches(&self, now: Timestamp) -> Vec<BatchId> {
        let overdue = self.batches.iter().filter(|(_, batch)| Self::is_overdue(batch, now));
        overdue.map(|(&id, _)| id).collect()
    }

    /// Takes an overdue batch away, if it still is one.
    pub(in crate::rollout) fn take_overdue_batch(
        &mut self,
        id: BatchId,
        now: Timestamp,
    ) -> Option<(Terms, Vec<u32>)> {
        if !Self::is_overdue(self.batches.get(&id)?, now) {
            return None;
        }
        self.take_away(id)
    }
}
