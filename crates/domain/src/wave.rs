//! The life of a wave, and what follows from its results.

use crate::{
    gate::{self, GateInput, Verdict},
    limits,
    tally::Tally,
    task::TaskStatus,
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
    /// Failures at which it halts the rollout.
    pub fail_threshold: Option<u32>,
    /// Whether no wave follows.
    pub is_last: bool,
}

impl WaveState {
    /// Admitted targets without an outcome.
    pub fn in_flight(&self) -> u32 {
        self.admitted.saturating_sub(self.tally.finished())
    }

    /// How many more targets may be admitted in one cut now.
    pub fn admission(&self) -> u32 {
        match self.status {
            WaveStatus::Open => (self.size - self.admitted).min(limits::MAX_TARGETS_PER_CUT),
            WaveStatus::Pending | WaveStatus::Closed | WaveStatus::Halted | WaveStatus::Stopped => 0,
        }
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
            let input = GateInput { size: wave.size, tally: wave.tally, fail_threshold: wave.fail_threshold };
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
            fail_threshold: Some(2),
            is_last: false,
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
}
