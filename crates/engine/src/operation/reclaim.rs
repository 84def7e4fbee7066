//! Batches without a holder are cut again by presence, with a higher epoch at the next lease.

use domain::{
    Timestamp,
    cut::{Member, Placed},
    event::EventKind,
    ids::{BatchId, TaskId},
    suspect,
};

use super::Engine;
use crate::{
    Decision, Effect, Faults, NewEvent, Rows, Rule, TargetSelection,
    rollout::{Rollout, Targets},
    row::{BatchRow, BatchTerms, deferred::placed},
};

impl<F: Faults> Engine<F> {
    /// Takes an orphaned batch away and hands its targets out again. `None` when it is no longer orphaned. Leases that should
    /// have been renewed by `heard` are lost.
    pub async fn reclaim<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        batch_id: BatchId,
        ordinals: &[u32],
        now: Timestamp,
        heard: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, ordinals, now).await? else { return Ok(None) };
        let batch = rows.lock_batches(task_id, &[batch_id]).await?.pop();
        let Some(batch) = batch.filter(|batch| batch.is_orphaned(heard)) else { return Ok(None) };
        let terms = terms_left(&rollout, &batch);
        rollout.changes().batches.delete.push(batch_id);
        let mut targets = self.members(rows, &mut rollout, &batch.members).await?;
        let members = without_result(batch.members, &targets);
        let (maybe_handed, number) = (terms.maybe_handed, u32::try_from(members.len()).unwrap_or(u32::MAX));
        rollout.effect(Effect::Reclaimed { batch_id, targets: number, maybe_handed });
        if suspect::is_isolated(terms.losses) {
            isolate(&mut rollout, &terms, &members);
            rollout.requeue(&terms, members, &mut targets);
        } else if rollout.facts.status.admits_no_more() && !maybe_handed {
            rollout.requeue(&terms, members, &mut targets);
        } else if !rollout.facts.status.is_ended() {
            let placed = place_again(&rollout, &members, &targets, maybe_handed);
            let handed = rollout.hand_to_workers(&terms, placed);
            self.end_replaced(rows, &mut rollout, &handed.replaced).await?;
        }
        self.settle(rows, &mut rollout).await?;
        Ok(Some(rollout.decide()))
    }

    /// The targets of a batch, with the presence of their desktops.
    pub(super) async fn members<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        members: &[Member],
    ) -> Result<Targets, R::Error> {
        let ordinals: Vec<u32> = members.iter().map(|member| member.ordinal).collect();
        self.targets(rows, rollout, TargetSelection::Ordinals(&ordinals), true).await
    }
}

/// The terms of a batch that is taken away: what was ever leased may have been handed out.
pub(super) fn terms_left<F: Faults>(rollout: &Rollout<F>, batch: &BatchRow) -> BatchTerms {
    let was_leased = batch.epoch > 0 && !rollout.breaks(Rule::ForgetEpochs);
    BatchTerms { maybe_handed: batch.terms.maybe_handed || was_leased, ..batch.terms }
}

/// The members that have not ended.
pub(super) fn without_result(mut members: Vec<Member>, targets: &Targets) -> Vec<Member> {
    members.retain(|member| targets.get(&member.ordinal).is_some_and(|target| !target.has_ended));
    members
}

/// Members with the workers that hold their desktops now. `maybe_handed` says that their agents may have started them.
pub(super) fn place_again<F: Faults>(
    rollout: &Rollout<F>,
    members: &[Member],
    targets: &Targets,
    maybe_handed: bool,
) -> Vec<Placed> {
    let remembers = maybe_handed && !rollout.breaks(Rule::ForgetAgents);
    let place = |member: &Member| {
        let presence = targets.get(&member.ordinal).and_then(|target| target.presence.as_ref());
        placed(member, presence, remembers.then(|| member.agent_id.clone()))
    };
    members.iter().map(place).collect()
}

/// Targets that worker after worker died of wait for what their agents may still report.
fn isolate<F: Faults>(rollout: &mut Rollout<F>, terms: &BatchTerms, members: &[Member]) {
    let losses = terms.losses;
    for Member { ordinal, desktop_id, .. } in members {
        let (ordinal, desktop_id) = (*ordinal, desktop_id.clone());
        let detail = format!("desktop {desktop_id}: {losses} workers died that held it");
        rollout.event(NewEvent::of_wave(EventKind::Isolated, terms.wave, detail));
        rollout.effect(Effect::Isolated { ordinal, desktop_id, losses });
    }
}
