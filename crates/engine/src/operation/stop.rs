//! Stops a task or a target on request. After the commit no further target is admitted. Workers
//! that hold running targets receive the stop until those targets have ended.

use domain::{Timestamp, batching::Member, event::EventKind, ids::TaskId};

use super::Engine;
use crate::{
    Decision, Effect, Faults, NewEvent, Rows, StopMark, TargetDetail, TargetSelection, Wake,
    rollout::Rollout, row::Whereabouts,
};

impl<F: Faults> Engine<F> {
    /// Stops a task: no further target is admitted, and with `kills` running scripts are killed. A
    /// task that the gate halted stays halted. Returns `None` when the task does not exist or has
    /// ended.
    pub async fn stop_task<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        kills: bool,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[], now).await? else { return Ok(None) };
        if rollout.facts.status.is_ended() {
            return Ok(None);
        }
        if !rollout.facts.status.admits_no_more() {
            self.prepare_withdrawal(rows, &mut rollout).await?;
            rollout.end_early(reason);
            rollout.event(NewEvent::of_task(EventKind::Stopped, actor, reason));
        }
        if kills {
            rollout.kill();
        }
        rollout.effect(Effect::Stopped { reason: reason.to_owned() });
        self.settle(rows, &mut rollout).await?;
        Ok(Some(rollout.decide()))
    }

    /// Stops one target from a script on. A target that was certainly never delivered ends
    /// immediately. Otherwise its worker and its agent receive the stop. Returns `None` when the
    /// target has ended, or the script succeeded in an earlier task.
    pub async fn stop_target<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        ordinal: u32,
        script: u16,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[ordinal], now).await? else { return Ok(None) };
        let selection = TargetSelection::Ordinals(&[ordinal]);
        let mut targets = self.targets(rows, &mut rollout, selection, TargetDetail::Plain).await?;
        let Some(target) = targets.get(&ordinal) else { return Ok(None) };
        if rollout.facts.status.is_ended() || target.has_ended || script < target.first_script {
            return Ok(None);
        }
        let is_first = script == target.first_script;
        let desktop_id = target.desktop_id.clone();
        if is_first && self.take_undelivered(rows, &mut rollout, ordinal).await? {
            let member = Member { ordinal, desktop_id, agent_id: String::new(), started: None };
            let records = rollout.stopped(&member, script);
            rollout.count(&mut targets, records);
            self.settle(rows, &mut rollout).await?;
            return Ok(Some(rollout.decide()));
        }
        rollout.changes().stops.push((ordinal, script));
        rollout.changes().batches.stop = StopMark::Target(ordinal);
        rollout.wake(Wake::Stop);
        Ok(Some(rollout.decide()))
    }

    /// Removes an undelivered target from its batch or from the deferred targets. Returns false if
    /// it is in neither.
    async fn take_undelivered<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        ordinal: u32,
    ) -> Result<bool, R::Error> {
        let task_id = rollout.task_id();
        let place = rows.whereabouts(task_id, &[ordinal]).await?.pop();
        let Some(Whereabouts { batch_id, maybe_delivered: false, .. }) = place else { return Ok(false) };
        let Some(batch_id) = batch_id else {
            let wave = rollout.waves.iter().find(|row| row.has(ordinal)).map(|row| row.wave);
            rollout.undefer(wave.unwrap_or_default(), ordinal, false);
            return Ok(true);
        };
        // A lease may have taken the batch, or the part with this target, before the lock was
        // acquired.
        let batch = rows.lock_batches(task_id, &[batch_id]).await?.pop();
        let Some(mut batch) = batch.filter(|batch| batch.is_undelivered()) else { return Ok(false) };
        let size = batch.members.len();
        batch.members.retain(|member| member.ordinal != ordinal);
        if batch.members.len() == size {
            return Ok(false);
        }
        rollout.take_from_batch(batch_id, batch.members);
        Ok(true)
    }
}
