//! The rules of `domain`, as they are asked here: unchanged, but where sabotage breaks one.

use domain::{
    Timestamp,
    cut::{self, Placed, Timed},
    deadline::{self, Deadlines},
    opening::{self, Hold, Turn},
    outcome::Outcome,
    policy::Weight,
    threshold::Threshold,
    wave::{self, Step, WaveState, WaveStatus},
};

use super::{Database, WaveRow};
use crate::rollout::sabotage::Sabotage;

impl Database {
    /// What keeps the task from admitting anything.
    pub(in crate::rollout) fn hold(&self, now: Timestamp) -> Option<Hold> {
        let hold = opening::hold(self.task.is_paused, self.task.is_frozen, self.task.expires_at, now);
        hold.filter(|_| !self.sabotaged(Sabotage::AdmitWhileHeld))
    }

    pub(super) fn turn(&self, row: &WaveRow, now: Timestamp) -> Turn {
        let mut opening = row.opening;
        if self.sabotaged(Sabotage::SkipSoak) {
            opening.opens_at = None;
        }
        if self.sabotaged(Sabotage::IgnoreApproval) {
            opening.needs_approval = false;
        }
        opening::decide(&opening, self.hold(now), now)
    }

    pub(in crate::rollout) fn admission(&self, state: &WaveState) -> u32 {
        self.bent(state).admission()
    }

    pub(in crate::rollout) fn late_admission(&self, state: &WaveState) -> u32 {
        self.bent(state).late_admission()
    }

    /// As admission sees a wave.
    fn bent(&self, state: &WaveState) -> WaveState {
        let mut state = *state;
        if self.sabotaged(Sabotage::IgnoreConcurrency) {
            state.terms.max_concurrency = None;
        }
        if self.sabotaged(Sabotage::StrictForgetsWaiting) {
            state.terms.ignores_away = true;
        }
        state
    }

    pub(super) fn next_step(&self, state: &WaveState) -> Step {
        let mut state = *state;
        if self.sabotaged(Sabotage::ReachedMeansMore) {
            state.fail_threshold = state.fail_threshold.map(more_than);
            state.terms.task_threshold = state.terms.task_threshold.map(more_than);
        }
        if self.sabotaged(Sabotage::QuorumOnLastWave) && state.is_last && state.terms.quorum.is_some() {
            let as_others = WaveState { is_last: false, ..state };
            if let Step::Close(reason) = wave::next_step(&as_others) {
                return Step::Finish(reason);
            }
        }
        let is_open = state.status == WaveStatus::Open;
        match wave::next_step(&state) {
            Step::Halt(reason) if self.sabotaged(Sabotage::IgnoreHalt) => {
                match (is_open && state.tally.finished() == state.size, state.is_last) {
                    (false, _) => Step::Hold(None),
                    (true, false) => Step::Close(reason),
                    (true, true) => Step::Finish(reason),
                }
            }
            Step::Hold(_)
                if self.sabotaged(Sabotage::CloseWithMissing)
                    && is_open
                    && !state.is_last
                    && state.tally.finished() * 2 >= state.size =>
            {
                Step::Close("half of it is in".to_owned())
            }
            step => step,
        }
    }

    pub(super) fn late_halt(&self, state: &WaveState) -> Option<String> {
        wave::late_halt(state)
            .filter(|_| !self.sabotaged(Sabotage::NoLateHalt) && !self.sabotaged(Sabotage::IgnoreHalt))
    }

    pub(super) fn weigh(&self, outcome: Outcome, exit_code: Option<i32>) -> Weight {
        if self.sabotaged(Sabotage::UndeliveredIgnored) && outcome == Outcome::Undelivered {
            return Weight::Ignore;
        }
        self.task.policy.weigh(outcome, exit_code)
    }

    pub(in crate::rollout) fn expired(
        &self,
        now: Timestamp,
        deadlines: &Deadlines,
        maybe_handed: bool,
    ) -> Option<Outcome> {
        match deadline::expired(now, deadlines, maybe_handed) {
            Some(Outcome::Unknown) if self.sabotaged(Sabotage::UnknownAsUndelivered) => {
                Some(Outcome::Undelivered)
            }
            expired => expired,
        }
    }

    pub(in crate::rollout) fn by_window(
        &self,
        placed: Vec<Placed>,
        deadlines: Deadlines,
        maybe_handed: bool,
        now: Timestamp,
    ) -> Vec<Timed> {
        let window = self.task.policy.window.as_ref();
        // What may have been handed out was in its window then, and is only asked for if it was.
        let window = window.filter(|_| !maybe_handed && !self.sabotaged(Sabotage::IgnoreWindow));
        let fresh = self.fresh(now);
        cut::by_window(placed, window, deadlines, fresh, now)
    }

    /// Deadlines of a target that is admitted now.
    pub(in crate::rollout) fn fresh(&self, now: Timestamp) -> Deadlines {
        deadline::of_target(now, &self.task.timeouts, u32::from(self.task.scripts))
    }

    /// Whether what was not handed out by its deadline only missed its window.
    pub(in crate::rollout) fn missed_window(&self, target: &Placed, deadlines: &Deadlines) -> bool {
        self.task
            .policy
            .window
            .as_ref()
            .is_some_and(|window| cut::missed_window(window, &target.time_zone, deadlines))
    }
}

/// The threshold that is reached by one failure more.
fn more_than(threshold: Threshold) -> Threshold {
    match threshold {
        Threshold::Count(count) => Threshold::Count(count + 1),
        Threshold::Percent { hundredths, min_results } => {
            Threshold::Percent { hundredths, min_results: min_results + 1 }
        }
    }
}
