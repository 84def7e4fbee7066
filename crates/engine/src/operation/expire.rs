//! Stops a task past its `expires_at`, or whose next wave has waited too long without evidence.

use chrono::SecondsFormat;
use domain::{Timestamp, event::EventKind, ids::TaskId};

use super::Engine;
use crate::{Decision, Effect, Faults, NewEvent, Rows};

impl<F: Faults> Engine<F> {
    /// Stops an expired task: no further target is admitted, and running scripts continue. Returns
    /// `None` if the task has not expired yet or admits no more targets. A hold without evidence
    /// expires as well.
    pub async fn expire<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[], now).await? else { return Ok(None) };
        let is_expired = rollout.facts.is_expired(now);
        let reason = if let Some(expires_at) = rollout.facts.expires_at.filter(|_| is_expired) {
            let until = expires_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("expired: nothing is started after {until}")
        } else if let Some(wave) = rollout.overlong_hold() {
            format!("expired: wave {} gave no evidence, and nobody approved wave {wave} in time", wave - 1)
        } else {
            return Ok(None);
        };
        self.prepare_withdrawal(rows, &mut rollout).await?;
        rollout.end_early(&reason);
        rollout.event(NewEvent::of_task(EventKind::Expired, "", reason.clone()));
        rollout.effect(Effect::Stopped { reason });
        self.settle(rows, &mut rollout).await?;
        Ok(Some(rollout.decide()))
    }
}
