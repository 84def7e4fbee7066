//! Batches: one row for hundreds of targets, leased to a worker, deleted when done: as `store::batch`.

use chrono::TimeDelta;
use domain::{Timestamp, cut::Member};

use super::{Batch, Database, Terms, agent_of, ordinals_of};
use crate::rollout::{
    effect::Effect,
    event::{BatchId, Leased, Order, Worker},
    sabotage::Sabotage,
};

/// Batches that one pull looks at.
const BATCHES_PER_PULL: usize = 64;

impl Database {
    /// Stores a batch of a cut. That of a task that is being killed is marked for it; that of a task that is held is
    /// held. Of a task that admits no more, only what is known is asked for.
    pub(in crate::rollout) fn insert_batch(&mut self, terms: Terms, worker: Worker, members: &[Member]) {
        let batch = Batch {
            terms,
            worker,
            ordinals: ordinals_of(members),
            leased_until: None,
            epoch: 0,
            reported: 0,
            answer_only: self.task.status.admits_no_more(),
            held: self.is_held(),
            stop: self.task.killing || members.iter().any(|member| self.stops.contains(&member.ordinal)),
        };
        for member in members {
            let desktop = &mut self.desktops[member.ordinal as usize];
            desktop.meant_for = agent_of(&member.agent_id);
        }
        let id = self.fresh_batch();
        self.batches.insert(id, batch);
    }

    /// Whether a pull of this worker would find something.
    pub(in crate::rollout) fn has_ready(&self, worker: Worker) -> bool {
        self.batches.values().any(|batch| self.is_ready(batch, worker))
    }

    fn is_ready(&self, batch: &Batch, worker: Worker) -> bool {
        batch.worker == worker
            && batch.leased_until.is_none()
            && (!batch.held || self.sabotaged(Sabotage::LeaseWhileHeld))
    }

    /// Leases a worker's oldest ready batches while the room allows; the last one is split to fit.
    pub(in crate::rollout) fn lease(
        &mut self,
        worker: Worker,
        room: u32,
        now: Timestamp,
        lease_ms: i64,
    ) -> Vec<Leased> {
        let ready = self.batches.iter().filter(|(_, batch)| self.is_ready(batch, worker));
        let ready: Vec<BatchId> = ready.map(|(&id, _)| id).take(BATCHES_PER_PULL).collect();
        let mut room = room as usize;
        let mut leased = Vec::new();
        for id in ready {
            if room == 0 {
                break;
            }
            let id = self.split(id, room);
            if let Some(batch) = self.lease_one(id, now + TimeDelta::milliseconds(lease_ms)) {
                room -= batch.ordinals.len();
                leased.push(batch);
            }
        }
        leased
    }

    /// Cuts a ready batch to at most so many targets: what is left over keeps the row, the head gets a new one.
    fn split(&mut self, id: BatchId, keep: usize) -> BatchId {
        let head_id = self.last_batch + 1;
        let Some(batch) = self.batches.get_mut(&id).filter(|batch| batch.ordinals.len() > keep) else {
            return id;
        };
        let rest = batch.ordinals.split_off(keep);
        let head = Batch { ordinals: std::mem::replace(&mut batch.ordinals, rest), held: false, ..*batch };
        self.last_batch = head_id;
        self.batches.insert(head_id, head);
        head_id
    }

    fn lease_one(&mut self, id: BatchId, until: Timestamp) -> Option<Leased> {
        let expires_at = self.task.expires_at.filter(|_| !self.sabotaged(Sabotage::StartAfterExpiry));
        let batch = self.batches.get_mut(&id)?;
        batch.leased_until = Some(until);
        batch.epoch += 1;
        // An agent starts nothing after its task has expired.
        let deliver_by = batch.terms.deadlines.deliver_by;
        let deliver_by = expires_at.map_or(deliver_by, |expires_at| deliver_by.min(expires_at));
        let order = Order { deliver_by, answer_only: batch.answer_only, stop: false };
        let ordinals = batch.ordinals.clone();
        let agents = ordinals.iter().map(|&ordinal| self.desktops[ordinal as usize].meant_for).collect();
        let is_stopped = |ordinal: &u32| batch.stop && self.stops.contains(ordinal);
        let stops = ordinals.iter().copied().filter(is_stopped).collect();
        self.effects.push(Effect::Leased {
            worker: batch.worker,
            ordinals: ordinals.clone(),
            answer_only: batch.answer_only,
        });
        Some(Leased { batch: id, order, ordinals, agents, stops })
    }

    /// Extends leases that the worker still has; returns the others.
    pub(in crate::rollout) fn renew(
        &mut self,
        worker: Worker,
        leases: Vec<BatchId>,
        until: Timestamp,
    ) -> Vec<BatchId> {
        let mut lost = Vec::new();
        for id in leases {
            let held = self.batches.get_mut(&id);
            match held.filter(|batch| batch.worker == worker && batch.leased_until.is_some()) {
                Some(batch) => batch.leased_until = Some(until),
                None => lost.push(id),
            }
        }
        lost
    }

    /// Counts results that name a batch, and deletes the batch when all its targets have a record.
    pub(in crate::rollout) fn note_result(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.reported += 1;
        let is_full = batch.reported as usize >= batch.ordinals.len();
        if is_full && batch.ordinals.iter().all(|&ordinal| self.records[ordinal as usize].is_some()) {
            self.batches.remove(&id);
        }
    }

    /// Takes targets out of a batch that its worker gave back; returns its terms and those that were in it.
    pub(in crate::rollout) fn take_out(
        &mut self,
        id: BatchId,
        worker: Worker,
        ordinals: &[u32],
    ) -> Option<(Terms, Vec<u32>)> {
        let batch = self.batches.get_mut(&id)?;
        if batch.worker != worker || batch.leased_until.is_none() {
            return None;
        }
        let terms = batch.terms;
        let (taken, left) = batch.ordinals.iter().partition(|ordinal| ordinals.contains(ordinal));
        batch.ordinals = left;
        if batch.ordinals.is_empty() {
            self.batches.remove(&id);
        }
        Some((terms, taken))
    }

    /// Withdraws a wave's ready batches that were certainly never handed out, and returns their targets. The others
    /// stay, since their outcome must still be learnt; but nothing of them may start any more.
    pub(super) fn withdraw_ready(&mut self, wave: u16) -> Vec<u32> {
        if self.sabotaged(Sabotage::WithdrawNothing) {
            return Vec::new();
        }
        let takes_all = self.sabotaged(Sabotage::WithdrawHanded);
        let mut withdrawn = Vec::new();
        self.batches.retain(|_, batch| {
            let is_ready = batch.terms.wave == wave && batch.leased_until.is_none();
            if is_ready && (takes_all || !batch.terms.maybe_handed) {
                withdrawn.append(&mut batch.ordinals);
                return false;
            }
            if is_ready {
                batch.answer_only = true;
                batch.held = false;
            }
            true
        });
        withdrawn
    }
}
