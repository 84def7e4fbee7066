//! The life of a wave, and what follows from its results.

use crate::{
    gate::{self, GateInput, Results, Verdict},
    limits,
    tally::Tally,
    task::TaskStatus,
    threshold::Threshold,
    words::words,
};

/// Where a wave is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaveStatus {
    /// Waits for the wave before it.
    Pending,
    /// Its targets are admitted.
    Open,
    /// All its targets ended and the gate let the rollout go on.
    Closed,
    /// The gate halted the rollout here.
    Halted,
    /// A person stopped the task here.
    Stopped,
}

impl WaveStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Open, Self::Closed, Self::Halted, Self::Stopped];

    /// The word in SQL, proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::Halted => "HALTED",
            Self::Stopped => "STOPPED",
        }
    }

    /// Whether it ended before all its targets were admitted, and admits no more.
    pub const fn is_cut_short(self) -> bool {
        matches!(self, Self::Halted | Self::Stopped)
    }
}

words!(WaveStatus, "status");

/// A wave as its row says, under the row's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaveState {
    /// Where it is.
    pub status: WaveStatus,
    /// Number of its targets.
    pub size: u32,
    /// Targets that have been admitted and not withdrawn: each of them ends in an outcome.
    pub admitted: u32,
    /// Its targets by outcome.
    pub tally: Tally,
    /// Those that count as failures by the task's policy.
    pub failed: u32,
    /// Those that halt the rollout at once.
    pub halting: u32,
    /// Failures at which it halts the rollout.
    pub fail_threshold: Option<Threshold>,
    /// Whether no wave follows.
    pub is_last: bool,
    /// The waves before it, which are over.
    pub earlier: Results,
    /// What the task says for all of its waves.
    pub terms: WaveTerms,
}

/// What a task says for all of its waves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaveTerms {
    /// Failures of all waves together at which the rollout halts.
    pub task_threshold: Option<Threshold>,
    /// Targets are admitted only while failures and targets in flight together stay under the thresholds.
    pub strict: bool,
    /// Targets in flight at most.
    pub max_concurrency: Option<u32>,
}

impl WaveState {
    /// Admitted targets without an outcome.
    pub fn in_flight(&self) -> u32 {
        self.admitted.saturating_sub(self.tally.finished())
    }

    /// Its results, as thresholds see them.
    pub fn results(&self) -> Results {
        Results { finished: self.tally.finished(), failed: self.failed }
    }

    /// How many more targets may be admitted in one cut now. In strict mode no more than would, if all of them failed,
    /// just reach a threshold: so no more than that can ever fail.
    pub fn admission(&self) -> u32 {
        if self.status != WaveStatus::Open {
            return 0;
        }
        let mut room = (self.size - self.admitted).min(limits::MAX_TARGETS_PER_CUT);
        if let Some(most) = self.terms.max_concurrency {
            room = room.min(most.saturating_sub(self.in_flight()));
        }
        if self.terms.strict {
            let at_risk = self.failed + self.in_flight();
            if let Some(count) = self.fail_threshold.and_then(Threshold::count) {
                room = room.min(count.saturating_sub(at_risk));
            }
            if let Some(count) = self.terms.task_threshold.and_then(Threshold::count) {
                room = room.min(count.saturating_sub(self.earlier.failed + at_risk));
            }
        }
        room
    }

    /// Whether a result may make room for another target.
    pub const fn admits_by_results(&self) -> bool {
        self.terms.strict || self.terms.max_concurrency.is_some()
    }
}

/// What must be done, in the transaction that stored the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: results are missing.
    Hold,
    /// Withdraw what is not yet handed out, admit nothing more; ask again afterwards whether the task ends.
    Halt(String),
    /// Close the wave and open the next one.
    OpenNext(String),
    /// Close the wave, which was the last: the task ends.
    Finish(String),
    /// The last running target of a wave that was halted or stopped is in: the task ends so.
    FinishCutShort(TaskStatus),
}

/// What follows from the wave's state.
pub fn next_step(wave: &WaveState) -> Step {
    match wave.status {
        WaveStatus::Halted if wave.in_flight() == 0 => Step::FinishCutShort(TaskStatus::Halted),
        WaveStatus::Stopped if wave.in_flight() == 0 => Step::FinishCutShort(TaskStatus::Stopped),
        WaveStatus::Halted | WaveStatus::Stopped | WaveStatus::Pending | WaveStatus::Closed => Step::Hold,
        WaveStatus::Open => {
            let input = GateInput {
                size: wave.size,
                results: wave.results(),
                halting: wave.halting,
                fail_threshold: wave.fail_threshold,
                earlier: wave.earlier,
                task_threshold: wave.terms.task_threshold,
            };
            match gate::decide(&input) {
                Verdict::Halt(reason) => Step::Halt(reason),
                Verdict::Hold => Step::Hold,
                Verdict::Proceed(reason) if wave.is_last => Step::Finish(reason),
                Verdict::Proceed(reason) => Step::OpenNext(reason),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    fn open(success: u32, failed: u32, admitted: u32) -> WaveState {
        let mut tally = Tally::default();
        tally.add_many(Outcome::Success, success);
        tally.add_many(Outcome::Failed, failed);
        WaveState {
            status: WaveStatus::Open,
            size: 4,
            admitted,
            tally,
            failed,
            halting: 0,
            fail_threshold: Some(Threshold::Count(2)),
            is_last: false,
            earlier: Results::default(),
            terms: WaveTerms::default(),
        }
    }

    #[test]
    fn a_wave_opens_the_next_only_when_all_ended_below_the_threshold() {
        assert_eq!(next_step(&open(2, 1, 4)), Step::Hold);
        assert!(matches!(next_step(&open(3, 1, 4)), Step::OpenNext(_)));
        assert!(matches!(next_step(&WaveState { is_last: true, ..open(3, 1, 4) }), Step::Finish(_)));
        assert!(matches!(next_step(&open(2, 2, 4)), Step::Halt(_)));
        assert!(matches!(next_step(&WaveState { is_last: true, ..open(0, 2, 4) }), Step::Halt(_)));
    }

    #[test]
    fn a_wave_that_is_cut_short_ends_the_task_when_what_ran_is_in() {
        for (status, ended) in
            [(WaveStatus::Halted, TaskStatus::Halted), (WaveStatus::Stopped, TaskStatus::Stopped)]
        {
            let short = WaveState { status, ..open(0, 2, 3) };
            assert!(status.is_cut_short());
            assert_eq!(next_step(&short), Step::Hold);
            assert_eq!(next_step(&WaveState { admitted: 2, ..short }), Step::FinishCutShort(ended));
            assert_eq!(WaveState { admitted: 2, ..short }.admission(), 0);
        }
    }

    #[test]
    fn only_an_open_wave_does_anything() {
        for status in [WaveStatus::Pending, WaveStatus::Closed] {
            let wave = WaveState { status, ..open(0, 4, 4) };
            assert_eq!(next_step(&wave), Step::Hold);
            assert_eq!(wave.admission(), 0);
        }
        assert_eq!(open(0, 0, 1).admission(), 3);
        assert_eq!(WaveState { size: 1_000_000, ..open(0, 0, 0) }.admission(), limits::MAX_TARGETS_PER_CUT);
    }

    #[test]
    fn room_is_bounded_by_concurrency_and_in_strict_mode_by_what_may_still_fail() {
        let with = |terms: WaveTerms| WaveState {
            size: 100,
            fail_threshold: Some(Threshold::Count(5)),
            terms,
            ..open(3, 1, 6)
        };
        assert_eq!(with(WaveTerms::default()).admission(), 94);
        let concurrency = |most| with(WaveTerms { max_concurrency: Some(most), ..WaveTerms::default() });
        assert_eq!(
            [concurrency(1).admission(), concurrency(2).admission(), concurrency(7).admission()],
            [0, 0, 5]
        );
        // One failed and two in flight: two more may fail before five are reached.
        let strict = with(WaveTerms { strict: true, ..WaveTerms::default() });
        assert_eq!(strict.admission(), 2);
        let task =
            WaveTerms { strict: true, task_threshold: Some(Threshold::Count(6)), ..WaveTerms::default() };
        let earlier = Results { finished: 50, failed: 2 };
        assert_eq!(WaveState { earlier, ..with(task) }.admission(), 1);
        assert!(strict.admits_by_results() && !with(WaveTerms::default()).admits_by_results());
    }
}
