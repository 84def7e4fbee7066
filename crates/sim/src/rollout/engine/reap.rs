//! What time does, and who comes and goes: as `scheduler::engine::reap` and `presence`.

use domain::{Timestamp, outcome::Outcome, task::TaskStatus};

use crate::rollout::{
    database::{Database, Terms, WorkerRow},
    effect::Effect,
    event::{BatchId, Ended, Presence, Worker},
};

impl Database {
    /// A heartbeat; true when the worker was not known.
    pub(in crate::rollout) fn heard(&mut self, worker: Worker, draining: bool, now: Timestamp) -> bool {
        self.workers.insert(worker, WorkerRow { heard_at: now, draining }).is_none()
    }

    /// Desktops that a worker gained and lost; false when the worker is not known.
    pub(in crate::rollout) fn presence(
        &mut self,
        worker: Worker,
        changes: &[Presence],
        now: Timestamp,
    ) -> bool {
        if !self.workers.contains_key(&worker) {
            return false;
        }
        for &Presence { ordinal, agent } in changes {
            let desktop = &mut self.desktops[ordinal as usize];
            if let Some(agent) = agent {
                desktop.agent = agent;
                // One that comes from another worker was there all the time.
                if desktop.worker.replace(worker).is_none() {
                    desktop.presence_at = now;
                }
                self.wakes.presence = true;
            } else if desktop.worker == Some(worker) {
                desktop.worker = None;
                desktop.presence_at = now;
            }
        }
        true
    }

    /// Forgets a worker with all it held; its leases end now. `heard_before`: only if it stayed silent since.
    pub(in crate::rollout) fn forget_worker(
        &mut self,
        worker: Worker,
        heard_before: Option<Timestamp>,
        now: Timestamp,
    ) {
        let Some(row) = self.workers.get(&worker) else { return };
        if heard_before.is_some_and(|moment| row.heard_at >= moment) {
            return;
        }
        self.workers.remove(&worker);
        for desktop in self.desktops.iter_mut().filter(|desktop| desktop.worker == Some(worker)) {
            desktop.worker = None;
            desktop.presence_at = now;
        }
        self.expire_leases_of(worker, now);
        self.wakes.presence = true;
    }

    /// A batch without a living holder is cut again by presence.
    pub(in crate::rollout) fn reclaim_batch(&mut self, batch: BatchId, now: Timestamp) {
        let Some((terms, left)) = self.reclaim(batch, now) else { return };
        let maybe_handed = terms.maybe_handed;
        self.effects.push(Effect::CutAgain { maybe_handed });
        if self.task.status.admits_no_more() && !maybe_handed {
            self.requeue(self.task.status, terms, left, now);
        } else if !self.task.status.is_ended() {
            let placed = left.into_iter().map(|ordinal| self.placed(ordinal, maybe_handed)).collect();
            let handed = self.hand_to_workers(terms, placed, now);
            self.end_replaced(&handed.replaced, now);
            self.settle_waiting(now);
        }
    }

    /// Targets of a lost batch become stragglers. Those that certainly nobody has started are withdrawn where the task
    /// admits no more. `seen` is its status, as the transaction knows it.
    pub(in crate::rollout) fn requeue(
        &mut self,
        seen: TaskStatus,
        terms: Terms,
        ordinals: Vec<u32>,
        now: Timestamp,
    ) {
        if ordinals.is_empty() || seen.is_ended() {
            return;
        }
        let mut ordinals = ordinals;
        if !terms.maybe_handed {
            let (stopped, others) = self.before_start(ordinals);
            ordinals = others;
            if !stopped.is_empty() {
                self.store_outcomes(stopped, now);
            }
        }
        if seen.admits_no_more() && !terms.maybe_handed {
            self.withdraw(terms.wave, ordinals);
            return self.settle(now);
        }
        self.insert_stragglers(terms, None, &ordinals);
    }

    /// Targets past their deadline end as UNDELIVERED or UNKNOWN.
    pub(in crate::rollout) fn expire_targets(
        &mut self,
        batch: Option<BatchId>,
        ordinals: &[u32],
        now: Timestamp,
    ) {
        let taken: Vec<(u32, Terms)> = match batch {
            Some(batch) => {
                let left = self.take_overdue_batch(batch, now).into_iter();
                let left =
                    left.flat_map(|(terms, left)| left.into_iter().map(move |ordinal| (ordinal, terms)));
                // The deadline of what was ready may be that of its window.
                self.wait_for_next_window(left.collect(), now)
            }
            None => {
                self.put_off(ordinals, now);
                self.take_overdue_stragglers(ordinals, now)
            }
        };
        let outcomes: Vec<(u32, Outcome)> = taken
            .into_iter()
            .filter_map(|(ordinal, terms)| {
                Some((ordinal, self.expired(now, &terms.deadlines, terms.maybe_handed)?))
            })
            .collect();
        if outcomes.is_empty() || self.task.status.is_ended() {
            return self.settle_waiting(now);
        }
        let outcomes: Vec<(u32, Vec<Ended>)> =
            outcomes.into_iter().map(|(ordinal, outcome)| (ordinal, self.overdue_scripts(outcome))).collect();
        self.store_outcomes(outcomes, now);
        self.settle_waiting(now);
    }

    /// What was not handed out because its window closed waits for the next one; returns what is really overdue.
    fn wait_for_next_window(&mut self, taken: Vec<(u32, Terms)>, now: Timestamp) -> Vec<(u32, Terms)> {
        if self.task.status.admits_no_more() {
            return taken;
        }
        let (waits, overdue): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(ordinal, terms)| {
            !terms.maybe_handed && self.missed_window(&self.placed(*ordinal, false), &terms.deadlines)
        });
        for (ordinal, terms) in waits {
            let terms = Terms { deadlines: self.fresh(now), ..terms };
            let placed = vec![self.placed(ordinal, false)];
            let _never_replaced = self.hand_to_workers(terms, placed, now);
        }
        overdue
    }
}
