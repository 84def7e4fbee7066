//! Stops: by a person, and by time: as `store::stop`.

use domain::{Timestamp, outcome::Outcome, task::TaskStatus, wave::WaveStatus};

use super::Database;
use crate::rollout::{
    effect::Effect,
    event::{Ended, Worker},
    sabotage::Sabotage,
};

impl Database {
    /// Stops the task: nothing more of it is admitted; with `kill`, what runs is ended too.
    pub(in crate::rollout) fn stop(&mut self, kill: bool, now: Timestamp) -> bool {
        self.relate();
        if self.task.status.is_ended() {
            return false;
        }
        if !self.task.status.admits_no_more() {
            self.end_early(now);
        }
        if kill {
            self.kill();
        }
        self.settle(now);
        true
    }

    /// Stops the task if its time is over.
    pub(in crate::rollout) fn expire(&mut self, now: Timestamp) -> bool {
        let is_over = self.task.expires_at.is_some_and(|expires_at| expires_at <= now);
        if !is_over || self.task.status.admits_no_more() {
            return false;
        }
        self.relate();
        self.end_early(now);
        self.settle(now);
        true
    }

    fn end_early(&mut self, now: Timestamp) {
        self.cut_short(WaveStatus::Stopped, now);
        self.effects.push(Effect::CutShort { status: TaskStatus::Stopping });
        if !self.sabotaged(Sabotage::AdmitAfterStop) {
            self.task.status = TaskStatus::Stopping;
        }
    }

    /// Has everything that runs ended.
    pub(super) fn kill(&mut self) {
        self.task.killing = true;
        self.batches.values_mut().for_each(|batch| batch.stop = true);
        self.wakes.stop = true;
    }

    /// Stops one target. What has certainly not begun ends at once; what a worker or an agent may have is told.
    pub(in crate::rollout) fn stop_target(&mut self, ordinal: u32, now: Timestamp) -> bool {
        if self.task.status.is_ended() || self.has_ended(ordinal) {
            return false;
        }
        self.effects.push(Effect::TargetStopped { ordinal });
        if self.take_unhanded(ordinal) {
            self.store_outcomes(vec![(ordinal, self.stopped_scripts())], now);
            return true;
        }
        self.stops.insert(ordinal);
        let marked = self.batches.values_mut().filter(|batch| batch.ordinals.contains(&ordinal));
        marked.for_each(|batch| batch.stop = true);
        self.wakes.stop = true;
        true
    }

    /// Takes a target out of where it waits, if it was certainly never handed out.
    fn take_unhanded(&mut self, ordinal: u32) -> bool {
        let found = self.batches.iter().find(|(_, batch)| {
            batch.leased_until.is_none() && !batch.terms.maybe_handed && batch.ordinals.contains(&ordinal)
        });
        if let Some((&id, _)) = found
            && let Some(batch) = self.batches.get_mut(&id)
        {
            batch.ordinals.retain(|&other| other != ordinal);
            if batch.ordinals.is_empty() {
                self.batches.remove(&id);
            }
            return true;
        }
        let is_unhanded = self.stragglers.get(&ordinal).is_some_and(|it| !it.terms.maybe_handed);
        is_unhanded && !self.take_stragglers(&[ordinal]).is_empty()
    }

    /// Splits targets none of which was handed out: those that a person stopped, with their ends, and the others.
    pub(in crate::rollout) fn before_start(&self, ordinals: Vec<u32>) -> (Vec<(u32, Vec<Ended>)>, Vec<u32>) {
        let (stopped, others): (Vec<u32>, Vec<u32>) =
            ordinals.into_iter().partition(|ordinal| self.stops.contains(ordinal));
        (stopped.into_iter().map(|ordinal| (ordinal, self.stopped_scripts())).collect(), others)
    }

    fn stopped_scripts(&self) -> Vec<Ended> {
        let mut scripts = vec![(Outcome::Stopped, None)];
        scripts.resize(usize::from(self.task.scripts), (Outcome::Skipped, None));
        scripts
    }

    /// What a worker holds and is to be stopped.
    pub(in crate::rollout) fn stops_of(&self, worker: Worker) -> Vec<u32> {
        if !self.task.killing && self.stops.is_empty() {
            return Vec::new();
        }
        let marked = self
            .batches
            .values()
            .filter(|batch| batch.worker == worker && batch.stop && batch.leased_until.is_some());
        let ordinals = marked.flat_map(|batch| &batch.ordinals).copied();
        ordinals
            .filter(|&ordinal| {
                (self.task.killing || self.stops.contains(&ordinal)) && !self.has_ended(ordinal)
            })
            .collect()
    }
}
