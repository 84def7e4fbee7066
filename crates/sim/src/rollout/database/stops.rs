//! Stops: by a person, and by time: as `store::stop`.

use domain::{Timestamp, task::TaskStatus, wave::WaveStatus};

use super::Database;
use crate::rollout::{effect::Effect, event::Worker};

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
        if !self.sabotaged(crate::rollout::sabotage::Sabotage::AdmitAfterStop) {
            self.task.status = TaskStatus::Stopping;
        }
    }

    /// Has everything that runs ended.
    pub(super) fn kill(&mut self) {
        self.task.killing = true;
        self.batches.values_mut().for_each(|batch| batch.stop = true);
        self.wakes.stop = true;
    }

    /// What a worker holds and is to be stopped.
    pub(in crate::rollout) fn stops_of(&self, worker: Worker) -> Vec<u32> {
        if !self.task.killing {
            return Vec::new();
        }
        let marked = self
            .batches
            .values()
            .filter(|batch| batch.worker == worker && batch.stop && batch.leased_until.is_some());
        let ordinals = marked.flat_map(|batch| &batch.ordinals).copied();
        ordinals.filter(|&ordinal| !self.has_ended(ordinal)).collect()
    }
}
