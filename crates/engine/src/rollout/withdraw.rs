//! Cuts a task short: no further target is dispatched.

use domain::{task::TaskStatus, wave::WaveStatus};

use super::Rollout;
use crate::{Faults, Rule};

impl<F: Faults> Rollout<F> {
    /// Ends the current wave early. Withdraws the undelivered targets of all waves and returns
    /// their number. The remaining targets may start nothing any more, but their outcomes are still
    /// collected.
    pub(super) fn cut_short(&mut self, status: WaveStatus, reason: &str) -> u32 {
        self.has_withdrawn = true;
        let waves: Vec<u16> = self.waves.iter().map(|row| row.wave).collect();
        let mut withdrawn = 0;
        for wave in waves {
            let number = self.withdraw_deferred(wave) + self.withdraw_ready(wave) + self.withdraw_new(wave);
            if let Some(row) = self.wave(wave) {
                row.state.admitted -= number;
            }
            withdrawn += number;
        }
        self.ask_only_of_ended_waves();
        if !(status == WaveStatus::Stopped && self.breaks(Rule::AdmitAfterStop)) {
            self.end_wave(status, reason);
        }
        withdrawn
    }

    /// Withdraws deferred targets. Exactly the undelivered ones count as waiting.
    fn withdraw_deferred(&mut self, wave: u16) -> u32 {
        self.changes.deferred.withdraw.push(wave);
        self.changes.deferred.insert.retain_mut(|new| {
            new.suspended &= new.terms.wave != wave;
            new.terms.wave != wave || new.terms.maybe_delivered
        });
        self.wave(wave).map_or(0, |row| std::mem::take(&mut row.state.waiting))
    }

    fn withdraw_ready(&mut self, wave: u16) -> u32 {
        if self.breaks(Rule::WithdrawNothing) {
            return 0;
        }
        let takes_all = self.breaks(Rule::WithdrawDelivered);
        let mut withdrawn = 0;
        for batch in self.ready.iter().flatten().filter(|batch| batch.wave == wave) {
            if takes_all || !batch.maybe_delivered {
                self.changes.batches.delete.push(batch.batch_id);
                withdrawn += batch.size;
            } else {
                self.changes.batches.query_only.push(batch.batch_id);
            }
        }
        withdrawn
    }

    /// Makes the ready batches of ended waves query-only. Such a batch remains when the results of
    /// its targets arrived through another batch or worker.
    fn ask_only_of_ended_waves(&mut self) {
        if self.breaks(Rule::WithdrawNothing) {
            return;
        }
        let is_over = |wave| self.waves.iter().all(|row| row.wave != wave);
        let ready = self.ready.iter().flatten().filter(|batch| is_over(batch.wave));
        self.changes.batches.query_only.extend(ready.map(|batch| batch.batch_id));
    }

    /// Withdraws the batches and deferred targets that this operation was about to insert.
    fn withdraw_new(&mut self, wave: u16) -> u32 {
        let mut withdrawn = 0;
        self.changes.batches.insert.retain_mut(|batch| {
            if batch.terms.wave != wave {
                return true;
            }
            batch.query_only = true;
            batch.suspended = false;
            if !batch.terms.maybe_delivered {
                withdrawn += u32::try_from(batch.members.len()).unwrap_or(u32::MAX);
            }
            batch.terms.maybe_delivered
        });
        withdrawn
    }

    /// Stops the task early. Running scripts continue.
    pub(crate) fn end_early(&mut self, reason: &str) {
        self.cut_short(WaveStatus::Stopped, reason);
        if !self.breaks(Rule::AdmitAfterStop) {
            self.set_status(TaskStatus::Stopping, Some(reason));
        }
    }
}
