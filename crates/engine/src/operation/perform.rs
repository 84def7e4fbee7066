//! Performs due work.

use super::Engine;
use crate::{Decision, DueTimes, Duty, DutyKind, Faults, Rows, Rule};

impl<F: Faults> Engine<F> {
    /// Performs a duty if it is still due under its locks.
    pub async fn perform<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        times: DueTimes,
    ) -> Result<Option<Decision>, R::Error> {
        let now = times.now;
        match duty.kind {
            DutyKind::Expire => self.expire(rows, duty.task_id, now).await,
            DutyKind::SuspendFrozen => self.suspend_task_of_frozen_project(rows, duty.task_id, now).await,
            DutyKind::ReleaseUnfrozen => self.release_task_of_project(rows, duty.task_id, None, now).await,
            DutyKind::Reclaim => self.reclaim(rows, duty, times).await,
            DutyKind::OutOfService => self.remove_out_of_service(rows, duty, now).await,
            DutyKind::HandOut => self.hand_out(rows, duty, now).await,
            DutyKind::PutOff => self.put_off(rows, duty, now).await,
            DutyKind::OverdueBatch | DutyKind::OverdueDeferred
                if self.faults.breaks(Rule::ForgetDeadlines) =>
            {
                Ok(None)
            }
            DutyKind::OverdueBatch => self.expire_batch(rows, duty, times).await,
            DutyKind::OverdueDeferred => self.expire_deferred(rows, duty, times).await,
            DutyKind::AwaitedReturn => self.end_awaited(rows, duty, times).await,
        }
    }
}
