//! Dispatches deferred targets whose desktops are online again.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    batching::{LocatedTarget, Member},
    deadline,
};

use super::{Engine, room::Room};
use crate::{
    Decision, Duty, Effect, Faults, Rows, Rule, TargetDetail, TargetSelection,
    rollout::{Rollout, Targets},
    row::{BatchTerms, DeferredRow},
};

impl<F: Faults> Engine<F> {
    /// Dispatches deferred targets of a task while slots are free. Returns `None` when the task is
    /// suspended.
    pub(super) async fn hand_out<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let Duty { task_id, ordinals, .. } = duty;
        let Some(mut rollout) = self.load(rows, *task_id, ordinals, now).await? else { return Ok(None) };
        if rollout.admission_block().is_some() && !rollout.facts.status.admits_no_more() {
            return Ok(None);
        }
        let mut room = Room::lock(rows, &rollout.facts, self.faults).await?;
        self.hand_out_deferred(rows, &mut rollout, &mut room).await?;
        self.settle(rows, &mut rollout).await?;
        Ok(Some(rollout.decide()))
    }

    /// Dispatches deferred targets of every wave that can still change. Targets that already occupy
    /// a slot need no new one.
    pub(super) async fn hand_out_deferred<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        room: &mut Room,
    ) -> Result<(), R::Error> {
        let waves: Vec<u16> = rollout.waves.iter().map(|row| row.wave).collect();
        let mut replaced = Vec::new();
        for wave in waves {
            let limit = room.of(rollout.late_admission(wave));
            let deferred = rows.reachable_deferred(rollout.task_id(), wave, limit, rollout.now).await?;
            replaced.append(&mut hand_out_of_wave(rollout, room, wave, deferred));
        }
        let ordinals: Vec<u32> = replaced.iter().map(|member| member.ordinal).collect();
        let selection = TargetSelection::Ordinals(&ordinals);
        let mut targets = self.targets(rows, rollout, selection, TargetDetail::Plain).await?;
        self.end_replaced(rows, rollout, &replaced, &mut targets).await
    }

    /// Ends targets of replaced agents as UNKNOWN.
    pub(super) async fn end_replaced<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        replaced: &[Member],
        targets: &mut Targets,
    ) -> Result<(), R::Error> {
        if !replaced.is_empty() {
            self.prepare_failures(rows, rollout).await?;
            self.load_kept_results(rows, rollout, targets).await?;
            rollout.end_replaced(replaced, targets);
        }
        Ok(())
    }
}

/// Dispatches the reachable targets of one wave. Returns those that a former agent of their desktop
/// may have started.
fn hand_out_of_wave<F: Faults>(
    rollout: &mut Rollout<F>,
    room: &mut Room,
    wave: u16,
    deferred: Vec<DeferredRow>,
) -> Vec<Member> {
    let mut replaced = Vec::new();
    for (mut terms, placed) in by_terms(rollout, deferred) {
        if !terms.maybe_delivered {
            terms.deadlines = deadline::after_waiting(terms.deadlines, rollout.now, &rollout.facts.timeouts);
        }
        let ordinals = placed.iter().map(|target| target.ordinal).collect();
        rollout.effect(Effect::Dispatched { wave, ordinals, maybe_delivered: terms.maybe_delivered });
        let mut handed = rollout.dispatch_to_workers(&terms, placed);
        if !terms.maybe_delivered {
            room.take(handed.targets);
        }
        replaced.append(&mut handed.replaced);
    }
    replaced
}

/// Groups targets that may share a batch, and removes them from the deferred targets.
fn by_terms<F: Faults>(
    rollout: &mut Rollout<F>,
    deferred: Vec<DeferredRow>,
) -> Vec<(BatchTerms, Vec<LocatedTarget>)> {
    let forgets_agents = rollout.breaks(Rule::ForgetAgents);
    let mut groups: BTreeMap<_, (BatchTerms, Vec<LocatedTarget>)> = BTreeMap::new();
    for row in deferred {
        let BatchTerms { wave, maybe_delivered, worker_deaths, deadlines, wait_until, .. } = row.terms;
        rollout.undefer(wave, row.member.ordinal, maybe_delivered);
        rollout.note_stop(row.member.ordinal, row.stop);
        let key = (maybe_delivered, worker_deaths, deadlines.deliver_by, deadlines.finish_by, wait_until);
        let group = groups.entry(key).or_insert_with(|| (row.terms, Vec::new()));
        group.1.push(row.placed(forgets_agents, rollout.now));
    }
    groups.into_values().collect()
}
