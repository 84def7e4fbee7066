//! The rules of `domain`, applied unchanged unless a deliberate fault breaks one.

use domain::{
    batching::{self, LocatedTarget, StartGroup},
    deadline::{self, Deadlines},
    outcome::Outcome,
    policy::Weight,
    threshold::Threshold,
    wave::{self, Step, WaveState, WaveStatus},
    wave_start::{self, AdmissionBlock, WaveStart},
};

use super::Rollout;
use crate::{
    Faults, Rule,
    row::{BatchTerms, WaveRow},
};

impl<F: Faults> Rollout<F> {
    /// Returns the reason why the task admits no target; `None` if it may admit.
    pub(crate) fn admission_block(&self) -> Option<AdmissionBlock> {
        self.facts.admission_block(self.now).filter(|_| !self.breaks(Rule::AdmitWhileBlocked))
    }

    /// Returns whether the next wave opens, or the condition that it waits for.
    pub(super) fn turn(&self, row: &WaveRow) -> WaveStart {
        let mut opening = row.opening;
        if self.breaks(Rule::SkipSoak) {
            opening.opens_at = None;
        }
        if self.breaks(Rule::IgnoreApproval) {
            opening.needs_approval = false;
        }
        wave_start::decide(&opening, self.admission_block(), self.now)
    }

    /// Returns the number of targets that the current wave may admit now.
    pub(crate) fn admission(&mut self) -> u32 {
        self.refresh_totals();
        let state = self.current().map(|row| row.state);
        state.map_or(0, |state| self.as_admission_sees(state).admission())
    }

    /// Returns the number of deferred targets of a wave that may be dispatched now.
    pub(crate) fn late_admission(&mut self, wave: u16) -> u32 {
        self.refresh_totals();
        let state = self.wave(wave).map(|row| row.state);
        state.map_or(0, |state| self.as_admission_sees(state).late_admission())
    }

    fn as_admission_sees(&self, mut state: WaveState) -> WaveState {
        if self.breaks(Rule::IgnoreConcurrency) {
            state.terms.max_concurrency = None;
        }
        if self.breaks(Rule::StrictForgetsWaiting) {
            state.terms.ignores_away = true;
        }
        state
    }

    /// Returns the step that follows from the results of the current wave.
    pub(super) fn next_step(&self, mut state: WaveState) -> Step {
        if self.breaks(Rule::ReachedMeansMore) {
            state.fail_threshold = state.fail_threshold.map(one_more);
            state.terms.task_threshold = state.terms.task_threshold.map(one_more);
        }
        if self.breaks(Rule::QuorumOnLastWave) && state.is_last && state.terms.quorum.is_some() {
            let as_others = WaveState { is_last: false, ..state };
            if let Step::Close(reason) = wave::next_step(&as_others) {
                return Step::Finish(reason);
            }
        }
        let is_open = state.status == WaveStatus::Open;
        let finished = state.tally.finished();
        match wave::next_step(&state) {
            Step::Halt(reason) if self.breaks(Rule::IgnoreHalt) => {
                match (is_open && finished == state.size, state.is_last) {
                    (false, _) => Step::Hold(None),
                    (true, false) => Step::Close(reason),
                    (true, true) => Step::Finish(reason),
                }
            }
            Step::Hold(_)
                if self.breaks(Rule::CloseWithMissing)
                    && is_open
                    && !state.is_last
                    && finished * 2 >= state.size =>
            {
                Step::Close("half of the results are in".to_owned())
            }
            step => step,
        }
    }

    /// Returns the reason if a closed wave halts the task.
    pub(super) fn late_halt(&self, state: &WaveState) -> Option<String> {
        let is_ignored = self.breaks(Rule::NoLateHalt) || self.breaks(Rule::IgnoreHalt);
        wave::late_halt(state).filter(|_| !is_ignored)
    }

    /// Returns the reason why a closed wave does not let the next one open; `None` if it does.
    pub(super) fn missing_evidence(&self, state: &WaveState) -> Option<String> {
        state.missing_evidence().filter(|_| !self.breaks(Rule::OpenWithoutEvidence))
    }

    /// Returns the weight of an outcome: whether it counts as a failure.
    pub(super) fn weigh(&self, outcome: Outcome, exit_code: Option<i32>) -> Weight {
        if self.breaks(Rule::UndeliveredIgnored) && outcome == Outcome::Undelivered {
            return Weight::Ignore;
        }
        self.facts.policy.weigh(outcome, exit_code)
    }

    /// Returns the outcome of a target that passed its deadline without a result; `None` before the
    /// deadline.
    pub(crate) fn expired(&self, terms: &BatchTerms) -> Option<Outcome> {
        match deadline::expired(self.now, &terms.deadlines, terms.maybe_delivered) {
            Some(Outcome::Unknown) if self.breaks(Rule::UnknownAsUndelivered) => Some(Outcome::Undelivered),
            expired => expired,
        }
    }

    /// Groups targets by the time at which their windows let them start.
    pub(super) fn by_window(&self, placed: Vec<LocatedTarget>, terms: &BatchTerms) -> Vec<StartGroup> {
        // A target that may have been delivered was within its window at that time. It is only
        // queried, so its window no longer matters.
        let is_ignored = terms.maybe_delivered || self.breaks(Rule::IgnoreWindow);
        let window = self.facts.policy.window.as_ref().filter(|_| !is_ignored);
        batching::by_window(placed, window, terms.deadlines, self.facts.deadlines(self.now), self.now)
    }

    /// Returns whether a target that passed its delivery deadline only missed its window.
    pub(crate) fn missed_window(&self, target: &LocatedTarget, deadlines: &Deadlines) -> bool {
        let window = self.facts.policy.window.as_ref();
        window.is_some_and(|window| batching::missed_window(window, &target.time_zone, deadlines))
    }
}

/// Returns the threshold raised by one failure.
fn one_more(threshold: Threshold) -> Threshold {
    match threshold {
        Threshold::Count(count) => Threshold::Count(count + 1),
        Threshold::Percent { share, min_results } => {
            Threshold::Percent { share, min_results: min_results + 1 }
        }
    }
}
