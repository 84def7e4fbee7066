//! Stores outcomes and does what follows from them, in the transaction that stores them: as `store::settle`.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    opening::Turn,
    outcome::Outcome,
    policy::{OnHalt, Weight},
    tally::Tally,
    task::TaskStatus,
    wave::{Step, WaveStatus},
};

use super::{Database, of_target};
use crate::rollout::{effect::Effect, event::Ended, sabotage::Sabotage};

impl Database {
    /// Stores outcomes, counts those that are new and settles what they changed.
    pub(in crate::rollout) fn store_outcomes(&mut self, outcomes: Vec<(u32, Vec<Ended>)>, now: Timestamp) {
        let ended = self.count_outcomes(outcomes);
        self.settle_counted(&ended, now);
    }

    /// Stores outcomes and counts those that are new; returns the ordinals of these.
    pub(in crate::rollout) fn count_outcomes(&mut self, outcomes: Vec<(u32, Vec<Ended>)>) -> Vec<u32> {
        let mut ended = Vec::new();
        for (ordinal, scripts) in outcomes {
            if self.has_ended(ordinal) {
                self.effects.push(Effect::KnownResult);
                if self.sabotaged(Sabotage::LastWordWins) {
                    self.records[ordinal as usize] = Some(scripts.clone());
                    self.effects.push(Effect::Recorded { ordinal, scripts });
                    continue;
                }
                if !self.sabotaged(Sabotage::CountTwice) {
                    continue;
                }
            } else {
                self.records[ordinal as usize] = Some(scripts.clone());
                self.effects.push(Effect::Recorded { ordinal, scripts: scripts.clone() });
            }
            let (outcome, exit_code) = of_target(&scripts);
            let weight = self.weigh(outcome, exit_code);
            let Some(row) = self.waves.iter_mut().find(|row| row.has(ordinal)) else { continue };
            row.state.tally.add(outcome);
            row.state.failed += u32::from(weight != Weight::Ignore);
            row.state.halting += u32::from(weight == Weight::Halt);
            scripts.iter().for_each(|(outcome, _)| row.records.add(*outcome));
            ended.push(ordinal);
        }
        ended
    }

    pub(in crate::rollout) fn settle_counted(&mut self, ended: &[u32], now: Timestamp) {
        if ended.is_empty() {
            return;
        }
        self.settle(now);
        self.relate();
        // Who waits for the places that results make.
        self.wakes.cut |= self.task.project_limit.is_some();
        if self.waves.iter().any(|row| row.state.admits_by_results()) {
            let live = self.live();
            self.wakes.presence |=
                live.iter().any(|&place| self.late_admission(&self.waves[place].state) > 0);
            let current = self.current();
            self.wakes.cut |= current.is_some_and(|place| self.admission(&self.waves[place].state) > 0);
        }
    }

    /// After targets may have come to wait for their desktops: the others may be a quorum.
    pub(in crate::rollout) fn settle_waiting(&mut self, now: Timestamp) {
        if !self.sabotaged(Sabotage::QuorumUnnoticed) && !self.task.status.is_ended() {
            self.settle(now);
        }
    }

    /// Does what the rules say until they say that results are missing.
    pub(in crate::rollout) fn settle(&mut self, now: Timestamp) {
        loop {
            self.relate();
            let late = self.late();
            let Some(current) = self.current() else { return };
            let state = self.waves[current].state;
            let can_halt = matches!(state.status, WaveStatus::Open | WaveStatus::Pending);
            let step = match late {
                Some(reason) if can_halt => {
                    self.effects.push(Effect::LateHalt);
                    Step::Halt(reason)
                }
                _ => self.next_step(&state),
            };
            match step {
                Step::Hold(_) => return,
                Step::Halt(_) => self.halt(now),
                Step::Close(_) => self.close(current, now),
                Step::Finish(_) => {
                    self.end_wave(current, WaveStatus::Closed, now);
                    let mut all = Tally::default();
                    self.waves.iter().for_each(|row| all.merge(&row.state.tally));
                    return self.end_task(TaskStatus::of_finished(&all));
                }
                Step::FinishCutShort(status) => return self.end_task(status),
            }
        }
    }

    /// Why a wave that was closed on a quorum halts the rollout after all: one of those whose targets were still missing,
    /// or of which the last one just came.
    fn late(&self) -> Option<String> {
        let closed = self.waves.iter().map(|row| &row.state);
        closed.filter(|state| state.status == WaveStatus::Closed).find_map(|state| self.late_halt(state))
    }

    fn end_wave(&mut self, place: usize, status: WaveStatus, now: Timestamp) {
        let row = &mut self.waves[place];
        row.state.status = status;
        row.closed_at = Some(now);
        if status == WaveStatus::Closed {
            self.effects.push(Effect::Closed { wave: row.wave });
        }
    }

    /// Closes the current wave. The next one opens, or waits for what it needs.
    fn close(&mut self, place: usize, now: Timestamp) {
        self.end_wave(place, WaveStatus::Closed, now);
        let Some(next) = self.waves.get_mut(place + 1) else { return };
        if self.task.policy.soak_seconds > 0 {
            let soak = TimeDelta::seconds(i64::from(self.task.policy.soak_seconds));
            next.opening.opens_at = Some(now + soak);
        }
        match self.open_current(now) {
            Some(Turn::Soaks(_)) => self.effects.push(Effect::Waits { soaks: true }),
            Some(Turn::WaitsForApproval) => self.effects.push(Effect::Waits { soaks: false }),
            _ => {}
        }
    }

    /// Opens the current wave if it waits for its turn and nothing is missing; else says what is.
    pub(in crate::rollout) fn open_current(&mut self, now: Timestamp) -> Option<Turn> {
        let place = self.current().filter(|&place| self.waves[place].state.status == WaveStatus::Pending)?;
        match self.turn(&self.waves[place], now) {
            Turn::Open => {}
            waits => return Some(waits),
        }
        let row = &mut self.waves[place];
        row.state.status = WaveStatus::Open;
        let wave = row.wave;
        self.effects.push(Effect::Opened { wave, now });
        if wave == 1 {
            self.task.status = TaskStatus::Running;
        }
        self.wakes.cut = true;
        None
    }

    fn halt(&mut self, now: Timestamp) {
        self.cut_short(WaveStatus::Halted, now);
        self.task.status = TaskStatus::Halting;
        self.effects.push(Effect::CutShort { status: TaskStatus::Halting });
        if self.task.policy.on_halt == OnHalt::Kill {
            self.kill();
        }
    }

    /// Ends the current wave before its time and withdraws what was not handed out, of all waves.
    pub(super) fn cut_short(&mut self, status: WaveStatus, now: Timestamp) {
        for place in self.live() {
            let wave = self.waves[place].wave;
            let waiting = self.withdraw_stragglers(wave);
            let mut withdrawn = self.withdraw_ready(wave);
            withdrawn.extend(waiting);
            self.withdraw(wave, withdrawn);
        }
        if let Some(current) = self.current()
            && !(status == WaveStatus::Stopped && self.sabotaged(Sabotage::AdmitAfterStop))
        {
            self.end_wave(current, status, now);
        }
    }

    /// Takes targets back that were certainly never handed out, because the task is cut short.
    pub(in crate::rollout) fn withdraw(&mut self, wave: u16, ordinals: Vec<u32>) {
        if ordinals.is_empty() {
            return;
        }
        let number = u32::try_from(ordinals.len()).unwrap_or(u32::MAX);
        self.row_of(wave).state.admitted -= number;
        self.effects.push(Effect::Withdrawn { ordinals });
    }

    pub(super) fn end_task(&mut self, status: TaskStatus) {
        self.batches.clear();
        self.stragglers.clear();
        self.stops.clear();
        self.task.status = status;
        self.effects.push(Effect::TaskEnded { status });
    }

    /// The outcome of all scripts of a target that time has ended.
    pub(in crate::rollout) fn overdue_scripts(&self, outcome: Outcome) -> Vec<Ended> {
        vec![(outcome, None); usize::from(self.task.scripts)]
    }
}
