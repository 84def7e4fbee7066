//! Settles a rollout: runs the gate, opens the next wave, and ends the task.
//!
//! This is promise 1. The gate runs on the locked rows, in the transaction that stores the failure
//! that crosses the line. No crash and no second scheduler can slip between.

use chrono::TimeDelta;
use domain::{
    event::EventKind,
    evidence,
    gate::HaltKind,
    policy::OnHalt,
    tally::Tally,
    task::TaskStatus,
    wave::{Step, WaveStatus, halt_kind},
    wave_start::{StartConditions, WaveStart},
};

use super::Rollout;
use crate::{
    Effect, Faults, NewEvent, Rule, StopMark, Wake,
    row::{WaveRow, WithdrawableBatch},
};

/// Rows that a decision needs before it can continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// The wave after this one.
    NextWave(u16),
    /// The ready batches of the task.
    ReadyBatches,
    /// The tallies of all waves except these.
    OtherTallies(Vec<u16>),
}

impl<F: Faults> Rollout<F> {
    pub(crate) fn provide_next_wave(&mut self, row: Option<WaveRow>) {
        if let Some(row) = row {
            self.stored.push(row.clone());
            self.next_wave = Some(row);
        }
    }

    /// Accepts the ready batches of the task, without those that this operation deletes.
    pub(crate) fn provide_ready_batches(&mut self, mut ready: Vec<WithdrawableBatch>) {
        let batches = &self.changes.batches;
        ready.retain(|batch| !batches.delete.contains(&batch.batch_id));
        for batch in &mut ready {
            let kept = batches.keep.iter().find(|(batch_id, _)| *batch_id == batch.batch_id);
            if let Some((_, members)) = kept {
                batch.size = u32::try_from(members.len()).unwrap_or(u32::MAX);
            }
        }
        self.ready = Some(ready);
    }

    pub(crate) fn provide_other_tallies(&mut self, tally: Tally) {
        self.other_tallies = Some(tally);
    }

    /// Records that targets were deferred, dispatched or withdrawn. A quorum depends on them as
    /// well as on results.
    pub(crate) const fn note_deferred(&mut self) {
        self.has_deferred = true;
    }

    /// Applies the rules to the changes since the last call. Returns the rows that are missing, or
    /// `None` when done.
    pub(crate) fn settle(&mut self) -> Option<Need> {
        let looks_at_quorum = self.has_deferred && !self.breaks(Rule::QuorumUnnoticed);
        if self.has_counted || self.has_withdrawn || looks_at_quorum {
            let need = self.follow_rules();
            if need.is_some() {
                return need;
            }
        }
        (self.has_counted, self.has_withdrawn, self.has_deferred) = (false, false, false);
        None
    }

    /// Follows the rules until results are missing. Returns the rows that it needs first, if any.
    fn follow_rules(&mut self) -> Option<Need> {
        loop {
            self.refresh_totals();
            self.release_hold();
            let late = self.settle_closed();
            let current = self.current()?;
            let (wave, state) = (current.wave, current.state);
            let is_open = state.status == WaveStatus::Open;
            let late = late.filter(|_| matches!(state.status, WaveStatus::Open | WaveStatus::Pending));
            let is_late = late.is_some();
            let step = late.map_or_else(|| self.next_step(state), Step::Halt);
            if let Some(need) = self.missing_for(&step, wave) {
                return Some(need);
            }
            if is_open || matches!(step, Step::Halt(_)) {
                let kind = halt_kind(&state).map_or("", HaltKind::as_str);
                self.note_verdict(wave, &step, if is_late { "late" } else { kind });
            }
            match step {
                Step::Hold(_) => return None,
                Step::Halt(reason) => self.halt(wave, reason, is_late),
                Step::Close(reason) => self.close(&reason),
                Step::Finish(reason) => {
                    self.close_wave(&reason);
                    self.finish();
                    return None;
                }
                Step::FinishCutShort(status) => {
                    self.end(status);
                    return None;
                }
            }
        }
    }

    fn missing_for(&self, step: &Step, wave: u16) -> Option<Need> {
        match step {
            Step::Halt(_) if self.ready.is_none() => Some(Need::ReadyBatches),
            Step::Close(_) if self.next_wave.is_none() => Some(Need::NextWave(wave)),
            Step::Finish(_) if self.other_tallies.is_none() => {
                Some(Need::OtherTallies(self.waves.iter().map(|row| row.wave).collect()))
            }
            _ => None,
        }
    }

    /// Clears the trailing mark of closed waves whose last result is in. Returns the reason if one
    /// of them halts the task.
    fn settle_closed(&mut self) -> Option<String> {
        let mut late = None;
        for place in 0..self.waves.len() {
            let (wave, state) = (self.waves[place].wave, self.waves[place].state);
            if state.status != WaveStatus::Closed {
                continue;
            }
            if state.missing() == 0 {
                self.waves[place].is_trailing = false;
            }
            if late.is_none() {
                late = self
                    .late_halt(&state)
                    .map(|reason| format!("wave {wave}, after it was closed: {reason}"));
            }
        }
        late
    }

    /// Ends the hold of the next wave when late results of the previous wave give the missing
    /// evidence.
    fn release_hold(&mut self) {
        let is_held =
            |row: &&mut WaveRow| row.state.status == WaveStatus::Pending && row.opening.hold_until.is_some();
        let Some(wave) = self.current().filter(is_held).map(|row| row.wave) else { return };
        let previous = self.wave(wave - 1).map(|row| row.state);
        if previous.is_none_or(|state| self.missing_evidence(&state).is_some()) {
            return;
        }
        if let Some(next) = self.wave(wave) {
            next.opening.hold_until = None;
        }
        self.event(NewEvent::of_wave(EventKind::WaveWaiting, wave, "late results gave the missing evidence"));
        self.wake(Wake::Admit);
    }

    /// Stores the gate's reason in the wave that it judged, and reports the verdict.
    fn note_verdict(&mut self, wave: u16, step: &Step, halts_by: &'static str) {
        let (verdict, halts_by, reason) = match step {
            Step::Hold(reason) => ("hold", "", reason.clone().unwrap_or_default()),
            Step::Halt(reason) => ("halt", halts_by, reason.clone()),
            Step::Close(reason) | Step::Finish(reason) => ("proceed", "", reason.clone()),
            Step::FinishCutShort(_) => return,
        };
        if let (Step::Hold(Some(reason)), Some(row)) = (step, self.wave(wave)) {
            row.verdict_reason = Some(reason.clone());
        }
        self.effect(Effect::Verdict { wave, verdict, halts_by, reason });
    }

    /// Ends the current wave with a reason. A wave that closes with missing targets continues to
    /// count them.
    pub(super) fn end_wave(&mut self, status: WaveStatus, reason: &str) {
        let now = self.now;
        let Some(row) = self.current() else { return };
        row.is_trailing = status == WaveStatus::Closed && row.state.missing() > 0;
        row.state.status = status;
        row.verdict_reason = Some(reason.to_owned());
        row.closed_at = Some(now);
    }

    fn close_wave(&mut self, reason: &str) {
        let Some(wave) = self.current().map(|row| row.wave) else { return };
        self.end_wave(WaveStatus::Closed, reason);
        self.event(NewEvent::of_wave(EventKind::WaveClosed, wave, reason));
    }

    /// Closes the current wave. The next wave opens, or waits for its start conditions.
    fn close(&mut self, reason: &str) {
        let state = self.current().map(|row| row.state);
        let missing_evidence = state.and_then(|state| self.missing_evidence(&state));
        match &missing_evidence {
            Some(missing) => self.close_wave(&format!("{reason}; {missing}")),
            None => self.close_wave(reason),
        }
        let Some(mut next) = self.next_wave.take() else { return };
        next.state.terms.max_concurrency = self.facts.max_concurrency;
        if missing_evidence.is_some() {
            let until = self.facts.expires_at.unwrap_or(self.now + evidence::HOLD_TIMEOUT);
            next.opening.hold_until = Some(until);
        }
        if self.facts.policy.soak_seconds > 0 {
            let opens_at = self.now + TimeDelta::seconds(i64::from(self.facts.policy.soak_seconds));
            next.opening = StartConditions { opens_at: Some(opens_at), ..next.opening };
        }
        let wave = next.wave;
        self.waves.push(next);
        if let Some(wait) = self.open_current() {
            let lacks_evidence = missing_evidence.is_some() && matches!(wait, WaveStart::Soaks(_));
            let then = if lacks_evidence { ", and then for an approval: it gave no evidence" } else { "" };
            self.event(NewEvent::of_wave(EventKind::WaveWaiting, wave, format!("{wait}{then}")));
            if !matches!(wait, WaveStart::Blocked(_)) {
                self.effect(Effect::WaveWaiting { wave, wait });
            }
        }
    }

    /// Opens the current wave if it is pending and its start conditions are met. Otherwise returns
    /// the missing condition.
    pub(crate) fn open_current(&mut self) -> Option<WaveStart> {
        let row = self.current().filter(|row| row.state.status == WaveStatus::Pending)?.clone();
        match self.turn(&row) {
            WaveStart::Open => {}
            waits => return Some(waits),
        }
        let (now, wave) = (self.now, row.wave);
        if let Some(row) = self.wave(wave) {
            row.state.status = WaveStatus::Open;
            row.opened_at = Some(now);
        }
        self.event(NewEvent::of_wave(EventKind::WaveOpened, wave, ""));
        if wave == 1 {
            self.set_status(TaskStatus::Running, None);
        }
        self.effect(Effect::WaveOpened { wave });
        self.wake(Wake::Admit);
        None
    }

    fn halt(&mut self, wave: u16, reason: String, is_late: bool) {
        let withdrawn = self.cut_short(WaveStatus::Halted, &reason);
        self.set_status(TaskStatus::Halting, Some(&reason));
        self.event(NewEvent::of_wave(EventKind::Halted, wave, reason.clone()));
        self.effect(Effect::Halted { wave, reason, withdrawn, is_late });
        if self.facts.policy.on_halt == OnHalt::Kill {
            self.kill();
        }
    }

    /// Kills everything that runs for the task.
    pub(crate) fn kill(&mut self) {
        self.facts.killing = true;
        self.changes.task.is_killed = true;
        self.changes.batches.stop = StopMark::All;
        self.changes.batches.insert.iter_mut().for_each(|batch| batch.stop = true);
        self.wake(Wake::Stop);
    }

    fn finish(&mut self) {
        let mut all = self.other_tallies.unwrap_or_default();
        self.waves.iter().for_each(|row| all.merge(&row.state.tally));
        self.end(TaskStatus::of_finished(&all));
    }

    /// Wakes the loops that wait for the slots that new results freed.
    pub(crate) fn wake_for_places(&mut self) {
        if !self.has_results {
            return;
        }
        if self.facts.has_project_limit {
            // The slot may belong to another task.
            self.wake(Wake::Admit);
        } else if !self.waves.iter().any(|row| row.state.admits_by_results()) {
            return;
        }
        let waves: Vec<u16> = self.waves.iter().map(|row| row.wave).collect();
        if waves.into_iter().any(|wave| self.late_admission(wave) > 0) {
            self.wake(Wake::Presence);
        }
        if self.admission() > 0 {
            self.wake(Wake::Admit);
        }
    }
}
