//! Removes targets from ready batches when their desktops cannot connect any more.

use domain::Timestamp;

use super::{
    Engine,
    reclaim::{TakenBatch, place_again},
};
use crate::{Decision, Duty, Faults, Rows, row::BatchRow};

impl<F: Faults> Engine<F> {
    /// Dispatches the targets of a ready batch again if one of its desktops is out of service. The
    /// targets of such desktops are deferred, and end as overdue. Returns `None` when all desktops
    /// of the batch are in service.
    pub(super) async fn remove_out_of_service<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let is_ready = |batch: &BatchRow| batch.is_undelivered() && !batch.suspended;
        let taken = self.take_away(rows, duty, now, is_ready).await?;
        let Some(TakenBatch { mut rollout, terms, members, targets, .. }) = taken else { return Ok(None) };
        // A task that was cut short has withdrawn its ready batches.
        if terms.maybe_delivered || rollout.facts.status.admits_no_more() {
            return Ok(None);
        }
        if targets.values().all(|target| target.out_of_service().is_none()) {
            return Ok(None);
        }
        let placed = place_again(&rollout, &members, &targets, false);
        // The targets were never delivered, so no agent that received them can have been replaced.
        let _never_replaced = rollout.dispatch_to_workers(&terms, placed);
        self.settle(rows, &mut rollout).await?;
        Ok(Some(rollout.decide()))
    }
}
