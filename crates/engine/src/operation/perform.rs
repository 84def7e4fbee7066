//! Performs due work.

use domain::Timestamp;

use super::Engine;
use crate::{Decision, Duty, DutyKind, Faults, Rows};

impl<F: Faults> Engine<F> {
    /// Performs a duty if it is still due under its locks.
    ///
    /// Leases and results count as missing only if they were due at or before `observed_until`.
    /// After a database outage it lags behind `now` for a while, because no renewal or result could
    /// be stored.
    pub async fn perform<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        now: Timestamp,
        observed_until: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        match duty.kind {
            DutyKind::Expire => self.expire(rows, duty.task_id, now).await,
            DutyKind::SuspendFrozen => self.suspend_task_of_frozen_project(rows, duty.task_id, now).await,
            DutyKind::Reclaim => self.reclaim(rows, duty, now, observed_until).await,
            DutyKind::HandOut => self.hand_out(rows, duty, now).await,
            DutyKind::PutOff => self.put_off(rows, duty, now).await,
            DutyKind::OverdueBatch => self.expire_batch(rows, duty, now, observed_until).await,
            DutyKind::OverdueDeferred => self.expire_deferred(rows, duty, now, observed_until).await,
        }
    }
}
