//! Reclaims batches without a holder. Their targets go into new batches by presence.

use domain::{
    Timestamp,
    batching::{LocatedTarget, Member},
    event::EventKind,
    ids::BatchId,
    quarantine,
};

use super::Engine;
use crate::{
    Decision, DueTimes, Duty, Effect, Faults, NewEvent, Rows, Rule, TargetDetail, TargetSelection,
    rollout::{Rollout, Targets},
    row::{BatchRow, BatchTerms, TargetRow, deferred::placed},
};

impl<F: Faults> Engine<F> {
    /// Reclaims an orphaned batch and dispatches its targets again. Returns `None` when the batch
    /// is no longer orphaned. A lease is lost if it was due for renewal by the observed time.
    pub(super) async fn reclaim<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        times: DueTimes,
    ) -> Result<Option<Decision>, R::Error> {
        let is_lost = |batch: &BatchRow| batch.is_orphaned(times.observed_until);
        let taken = self.take_away(rows, duty, times.now, is_lost).await?;
        let Some(TakenBatch { mut rollout, batch_id, terms, members, mut targets }) = taken else {
            return Ok(None);
        };
        let (maybe_delivered, number) =
            (terms.maybe_delivered, u32::try_from(members.len()).unwrap_or(u32::MAX));
        rollout.effect(Effect::Reclaimed { batch_id, targets: number, maybe_delivered });
        let is_quarantined = quarantine::is_quarantined(terms.worker_deaths);
        if is_quarantined {
            isolate(&mut rollout, &terms, &members);
        }
        if is_quarantined || rollout.facts.status.admits_no_more() && !maybe_delivered {
            rollout.requeue(&terms, members, &mut targets);
        } else if !rollout.facts.status.is_ended() {
            let placed = place_again(&rollout, &members, &targets, maybe_delivered);
            // Its desktops were connected: they have another delivery time to come back.
            let renewed = if maybe_delivered { terms } else { rollout.renewed(&terms) };
            let handed = rollout.dispatch_to_workers(&renewed, placed);
            self.end_replaced(rows, &mut rollout, &handed.replaced, &mut targets).await?;
        }
        self.settle(rows, &mut rollout).await?;
        Ok(Some(rollout.decide()))
    }

    /// Locks the batch of a duty and removes it. Returns `None` when the batch is deleted or no
    /// longer orphaned.
    pub(super) async fn take_away<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        now: Timestamp,
        is_lost: impl Fn(&BatchRow) -> bool + Send,
    ) -> Result<Option<TakenBatch<F>>, R::Error> {
        let Some(batch_id) = duty.batch_id else { return Ok(None) };
        let Some(mut rollout) = self.load(rows, duty.task_id, &duty.ordinals, now).await? else {
            return Ok(None);
        };
        let batch = rows.lock_batches(duty.task_id, &[batch_id]).await?.pop();
        let Some(batch) = batch.filter(is_lost) else { return Ok(None) };
        let terms = terms_left(&rollout, &batch);
        rollout.changes().batches.delete.push(batch_id);
        let ordinals: Vec<u32> = batch.members.iter().map(|member| member.ordinal).collect();
        let selection = TargetSelection::Ordinals(&ordinals);
        let targets = self.targets(rows, &mut rollout, selection, TargetDetail::Presence).await?;
        let mut members = batch.members;
        members.retain(|member| targets.get(&member.ordinal).is_some_and(TargetRow::is_missing));
        Ok(Some(TakenBatch { rollout, batch_id, terms, members, targets }))
    }
}

/// A batch that was taken from its worker.
pub(super) struct TakenBatch<F> {
    pub(super) rollout: Rollout<F>,
    batch_id: BatchId,
    /// Terms of the batch. Targets of a batch that was ever leased may have been delivered.
    pub(super) terms: BatchTerms,
    /// Members without a result.
    pub(super) members: Vec<Member>,
    /// All targets of the batch, with the presence of their desktops.
    pub(super) targets: Targets,
}

fn terms_left<F: Faults>(rollout: &Rollout<F>, batch: &BatchRow) -> BatchTerms {
    let was_leased = batch.epoch > 0 && !rollout.breaks(Rule::ForgetEpochs);
    BatchTerms { maybe_delivered: batch.terms.maybe_delivered || was_leased, ..batch.terms }
}

/// Locates members by the current presence of their desktops. `maybe_delivered` means that agents
/// may have started them.
pub(super) fn place_again<F: Faults>(
    rollout: &Rollout<F>,
    members: &[Member],
    targets: &Targets,
    maybe_delivered: bool,
) -> Vec<LocatedTarget> {
    let remembers = maybe_delivered && !rollout.breaks(Rule::ForgetAgents);
    let place = |member: &Member| {
        let presence = targets.get(&member.ordinal).and_then(|target| target.presence.as_ref());
        placed(member, presence, remembers.then(|| member.agent_id.clone()), rollout.now)
    };
    members.iter().map(place).collect()
}

/// Quarantines targets: they only wait for results that their agents may still report.
fn isolate<F: Faults>(rollout: &mut Rollout<F>, terms: &BatchTerms, members: &[Member]) {
    let worker_deaths = terms.worker_deaths;
    for Member { ordinal, desktop_id, .. } in members {
        let (ordinal, desktop_id) = (*ordinal, desktop_id.clone());
        let detail = format!("desktop {desktop_id}: {worker_deaths} workers died while they held the target");
        rollout.event(NewEvent::of_wave(EventKind::Quarantined, terms.wave, detail));
        rollout.effect(Effect::Quarantined { ordinal, desktop_id, worker_deaths });
    }
}
