//! Performs due work.

use domain::Timestamp;

use super::Engine;
use crate::{Decision, Duty, DutyKind, Faults, Rows};

impl<F: Faults> Engine<F> {
    /// Performs a duty, if it is still due under its locks. Leases and results should have been heard of by `heard`: it is
    /// `now`, but earlier for a while after the database was away, because nobody could be heard then.
    pub async fn perform<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        now: Timestamp,
        heard: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let Duty { kind, task_id, batch_id, ordinals } = duty;
        let task_id = *task_id;
        match (kind, *batch_id) {
            (DutyKind::Expire, _) => self.expire(rows, task_id, now).await,
            (DutyKind::HoldFrozen, _) => self.hold_task_of_frozen_project(rows, task_id, now).await,
            (DutyKind::HandOut, _) => self.hand_out(rows, task_id, ordinals, now).await,
            (DutyKind::PutOff, _) => self.put_off(rows, task_id, ordinals, now).await,
            (DutyKind::OverdueDeferred, _) => self.expire_deferred(rows, task_id, ordinals, now, heard).await,
            (DutyKind::Reclaim, Some(batch_id)) => {
                self.reclaim(rows, task_id, batch_id, ordinals, now, heard).await
            }
            (DutyKind::OverdueBatch, Some(batch_id)) => {
                self.expire_batch(rows, task_id, batch_id, ordinals, now, heard).await
            }
            (DutyKind::Reclaim | DutyKind::OverdueBatch, None) => Ok(None),
        }
    }
}
