//! Ends targets whose desktop is back, or did not come back in time. A target with remaining
//! scripts continues on the agent that began it.

use std::collections::BTreeSet;

use domain::{
    batching::{LocatedTarget, Member},
    deadline::BUSY_WAIT,
    ids::BatchId,
    outcome::Outcome,
    return_condition::Return,
};

use super::Engine;
use crate::{
    Decision, DueTimes, Duty, Effect, Faults, Rows, Rule, TargetDetail, TargetSelection,
    rollout::{Rollout, Targets},
    row::{AwaitedReturn, AwaitedRow, BatchTerms, NewRecord, deferred::placed},
};

impl<F: Faults> Engine<F> {
    /// Decides on the awaited returns of a duty. Returns `None` when the task does not exist or has
    /// ended.
    pub(super) async fn end_awaited<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        times: DueTimes,
    ) -> Result<Option<Decision>, R::Error> {
        let Duty { task_id, ordinals, .. } = duty;
        let Some(mut rollout) = self.load(rows, *task_id, ordinals, times.now).await? else {
            return Ok(None);
        };
        if rollout.facts.status.is_ended() {
            return Ok(None);
        }
        let awaited = rows.awaited_returns(*task_id, ordinals).await?;
        let selection = TargetSelection::Ordinals(ordinals);
        let mut targets = self.targets(rows, &mut rollout, selection, TargetDetail::Plain).await?;
        self.prepare_failures(rows, &mut rollout).await?;
        let (mut records, mut resumed) = (Vec::new(), Vec::new());
        for row in awaited.into_iter().filter(|row| !row.is_resumed) {
            let ordinal = row.awaited.ordinal;
            match rollout.return_of(&row, times) {
                Return::Awaited => continue,
                Return::Met if row.awaited.is_paused(rollout.facts.script_count) => {
                    rollout.changes().awaited.resume.push(ordinal);
                    rollout.keep_results(&row.awaited);
                    if let Some(target) = targets.get_mut(&ordinal) {
                        (target.awaited, target.is_resumed) = (None, true);
                    }
                    resumed.push(row);
                }
                Return::Met => {
                    rollout.changes().awaited.delete.push(ordinal);
                    records.extend(row.awaited.records);
                }
                Return::Missed => {
                    let desktop_id = row.awaited.desktop_id.clone();
                    rollout.effect(Effect::NotReturned { ordinal, desktop_id });
                    rollout.changes().awaited.delete.push(ordinal);
                    records.extend(not_returned(&rollout, &row.awaited));
                }
            }
        }
        rollout.count(&mut targets, records);
        // Settles before any target continues: the failures may halt the task.
        self.settle(rows, &mut rollout).await?;
        self.take_from_batches(rows, &mut rollout, &resumed).await?;
        let mut replaced = Vec::new();
        for (terms, placed) in resume(&rollout, resumed) {
            let ordinals = placed.iter().map(|target| target.ordinal).collect();
            rollout.effect(Effect::Dispatched { wave: terms.wave, ordinals, maybe_delivered: true });
            replaced.append(&mut rollout.dispatch_to_workers(&terms, placed).replaced);
        }
        self.end_replaced(rows, &mut rollout, &replaced, &mut targets).await?;
        self.settle(rows, &mut rollout).await?;
        Ok(Some(rollout.decide()))
    }
}

impl<F: Faults> Engine<F> {
    /// Removes targets that continue from the batches in which they were delivered: other members
    /// may still run there.
    async fn take_from_batches<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        resumed: &[AwaitedRow],
    ) -> Result<(), R::Error> {
        let ordinals: Vec<u32> = resumed.iter().map(|row| row.awaited.ordinal).collect();
        if ordinals.is_empty() {
            return Ok(());
        }
        let task_id = rollout.task_id();
        let places = rows.whereabouts(task_id, &ordinals).await?;
        let batch_ids: BTreeSet<BatchId> = places.into_iter().filter_map(|place| place.batch_id).collect();
        let batch_ids: Vec<BatchId> = batch_ids.into_iter().collect();
        for mut batch in rows.lock_batches(task_id, &batch_ids).await? {
            batch.members.retain(|member| !ordinals.contains(&member.ordinal));
            rollout.take_from_batch(batch.batch_id, batch.members);
        }
        Ok(())
    }

    /// Loads the results that targets had before a reboot. A target that continued and ends without
    /// a further result keeps them.
    pub(super) async fn load_kept_results<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        targets: &Targets,
    ) -> Result<(), R::Error> {
        let resumed = targets.values().filter(|target| target.is_resumed);
        let ordinals: Vec<u32> = resumed.map(|target| target.ordinal).collect();
        if !ordinals.is_empty() {
            let kept = rows.awaited_returns(rollout.task_id(), &ordinals).await?;
            kept.iter().for_each(|row| rollout.keep_results(&row.awaited));
        }
        Ok(())
    }
}

impl<F: Faults> Rollout<F> {
    /// Remembers the results that a target had before a reboot.
    fn keep_results(&mut self, awaited: &AwaitedReturn) {
        self.kept_results.insert(awaited.ordinal, awaited.records.clone());
    }

    fn return_of(&self, row: &AwaitedRow, times: DueTimes) -> Return {
        match row.state(times) {
            Return::Missed if self.breaks(Rule::ForgetReturnDeadline) => Return::Awaited,
            state => state,
        }
    }
}

/// Places the targets that continue, by the terms of their batches. Their agent has begun them, so
/// no other one may continue them, and after a halt it starts nothing more.
fn resume<F: Faults>(
    rollout: &Rollout<F>,
    resumed: Vec<AwaitedRow>,
) -> Vec<(BatchTerms, Vec<LocatedTarget>)> {
    let mut groups: Vec<(BatchTerms, Vec<LocatedTarget>)> = Vec::new();
    for AwaitedRow { awaited, presence, .. } in resumed {
        let AwaitedReturn { ordinal, desktop_id, agent_id, wave, .. } = awaited;
        let member = Member { ordinal, desktop_id, agent_id: agent_id.clone(), started: None };
        let target = placed(&member, presence.as_ref(), Some(agent_id), rollout.now);
        if let Some((_, targets)) = groups.iter_mut().find(|(terms, _)| terms.wave == wave) {
            targets.push(target);
            continue;
        }
        let terms = BatchTerms {
            task_id: rollout.task_id(),
            wave,
            deadlines: rollout.facts.deadlines(rollout.now),
            wait_until: rollout.now + BUSY_WAIT,
            maybe_delivered: true,
            worker_deaths: 0,
        };
        groups.push((terms, vec![target]));
    }
    groups
}

/// Creates the records of a target whose desktop did not come back. The last script carries the
/// outcome, or the first one that waits for the reboot; later scripts are skipped.
fn not_returned<F: Faults>(rollout: &Rollout<F>, awaited: &AwaitedReturn) -> Vec<NewRecord> {
    let AwaitedReturn { ordinal, desktop_id, condition, .. } = awaited;
    let seconds = rollout.facts.policy.returns.timeout().num_seconds();
    let missed = format!("the desktop did not return within {seconds} s {}", condition.phrase());
    let mut records = awaited.records.clone();
    let paused = awaited.is_paused(rollout.facts.script_count);
    if let Some(last) = records.last_mut().filter(|_| !paused) {
        let ended = last.exit_code.map_or_else(String::new, |code| format!("exit code {code}; "));
        (last.outcome, last.reason) = (Outcome::NotReturned, format!("{ended}{missed}"));
    }
    for script in awaited.results()..rollout.facts.script_count {
        let (outcome, reason) = if script == awaited.results() {
            (Outcome::NotReturned, missed.as_str())
        } else {
            (Outcome::Skipped, "an earlier script did not succeed")
        };
        let desktop_id = desktop_id.clone();
        records.push(NewRecord::without_result(*ordinal, desktop_id, script, outcome, rollout.now, reason));
    }
    records
}
