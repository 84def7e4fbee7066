//! The life of a wave, and what follows from its results.

use crate::{
    gate::{self, GateInput, HaltKind, Results, Verdict},
    limits,
    policy::RolloutPolicy,
    string_enum::string_enum,
    tally::Tally,
    task::TaskStatus,
    threshold::Threshold,
};

/// Where a wave is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaveStatus {
    /// Waits for the wave before it.
    Pending,
    /// Its targets are admitted.
    Open,
    /// All its targets ended, or a quorum of them, and the gate let the rollout go on.
    Closed,
    /// The gate halted the rollout here.
    Halted,
    /// A person stopped the task here, or it expired.
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

string_enum!(WaveStatus, "status");

/// A wave as its row says, under the row's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaveState {
    /// Where it is.
    pub status: WaveStatus,
    /// Number of its targets.
    pub size: u32,
    /// Targets that have been admitted and not withdrawn: each of them ends in an outcome.
    pub admitted: u32,
    /// Those of them whose desktop is away and that were certainly never handed out. They hold no place.
    pub waiting: u32,
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
    /// The other waves of its task.
    pub others: OtherWaves,
    /// What the task says for all of its waves.
    pub terms: WaveTerms,
}

/// What the other waves of a task have come to. Those before the current one are closed, and of those closed on a quorum
/// some targets may still be missing; those behind it have not begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtherWaves {
    /// Of all of them.
    pub results: Results,
    /// Their targets that may run.
    pub in_flight: u32,
    /// Their targets whose desktop is away.
    pub waiting: u32,
}

impl OtherWaves {
    /// With one wave more.
    #[must_use]
    pub fn and(self, wave: &WaveState) -> Self {
        Self {
            results: Results {
                finished: self.results.finished + wave.tally.finished(),
                failed: self.results.failed + wave.failed,
            },
            in_flight: self.in_flight + wave.in_flight(),
            waiting: self.waiting + wave.waiting,
        }
    }

    /// Targets without an outcome.
    pub const fn missing(&self) -> u32 {
        self.in_flight + self.waiting
    }
}

/// Tells each wave of a task what the others have come to. `settled` is of those that are not among them and have ended.
pub fn refresh_totals<'a>(settled: Results, waves: impl IntoIterator<Item = &'a mut WaveState>) {
    let mut waves: Vec<&mut WaveState> = waves.into_iter().collect();
    for place in 0..waves.len() {
        let start = OtherWaves { results: settled, ..OtherWaves::default() };
        let others = waves.iter().enumerate().filter(|(other, _)| *other != place);
        waves[place].others = others.fold(start, |sum, (_, wave)| sum.and(wave));
    }
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
    /// Hundredths of a percent of a wave's targets with which it is over although the missing ones are away.
    pub quorum: Option<u32>,
    /// A target that is never reached is no failure, whether time ends it or a person.
    pub ignores_away: bool,
}

impl WaveTerms {
    /// From what a task says of its rollout.
    pub fn new(policy: &RolloutPolicy, max_concurrency: Option<u32>) -> Self {
        Self {
            task_threshold: policy.fail_threshold,
            strict: policy.strict,
            max_concurrency,
            quorum: policy.quorum,
            ignores_away: !policy.counts_away(),
        }
    }
}

impl WaveState {
    /// Admitted targets without an outcome that may run, or may have run.
    pub fn in_flight(&self) -> u32 {
        self.missing().saturating_sub(self.waiting)
    }

    /// Admitted targets without an outcome.
    pub fn missing(&self) -> u32 {
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
        let room = (self.size - self.admitted).min(limits::MAX_TARGETS_PER_CUT);
        room.min(self.places()).min(self.risk())
    }

    /// How many of the waiting targets may be handed out now that their desktops are back; also of a wave that was closed
    /// on a quorum.
    pub fn late_admission(&self) -> u32 {
        if !matches!(self.status, WaveStatus::Open | WaveStatus::Closed) {
            return 0;
        }
        let room = self.waiting.min(limits::MAX_TARGETS_PER_CUT).min(self.places());
        // Where a desktop that stays away is a failure, they are at risk already.
        if self.terms.ignores_away { room.min(self.risk()) } else { room }
    }

    /// Places that `max_concurrency` leaves.
    fn places(&self) -> u32 {
        let taken = self.others.in_flight + self.in_flight();
        self.terms.max_concurrency.map_or(u32::MAX, |most| most.saturating_sub(taken))
    }

    /// How many more targets strict mode puts at risk.
    fn risk(&self) -> u32 {
        if !self.terms.strict {
            return u32::MAX;
        }
        let at_risk =
            |in_flight, waiting| if self.terms.ignores_away { in_flight } else { in_flight + waiting };
        let own = self.failed + at_risk(self.in_flight(), self.waiting);
        let all = self.others.results.failed + at_risk(self.others.in_flight, self.others.waiting) + own;
        let left = |threshold: Option<Threshold>, at_risk| {
            threshold.and_then(Threshold::count).map_or(u32::MAX, |count| count.saturating_sub(at_risk))
        };
        left(self.fail_threshold, own).min(left(self.terms.task_threshold, all))
    }

    /// What the gate reads.
    pub fn gate_input(&self) -> GateInput {
        GateInput {
            size: self.size,
            results: self.results(),
            halting: self.halting,
            fail_threshold: self.fail_threshold,
            waiting: self.waiting,
            quorum: self.terms.quorum,
            earlier: self.others.results,
            earlier_missing: self.others.missing(),
            is_last: self.is_last,
            is_closed: self.status == WaveStatus::Closed,
            task_threshold: self.terms.task_threshold,
        }
    }

    /// Whether a result may make room for another target.
    pub const fn admits_by_results(&self) -> bool {
        self.terms.strict || self.terms.max_concurrency.is_some()
    }
}

/// What must be done, in the transaction that stored the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: results are missing; with what the gate says of it, if it looked.
    AdmissionBlock(Option<String>),
    /// Withdraw what is not yet handed out, admit nothing more; ask again afterwards whether the task ends.
    Halt(String),
    /// Close the wave; it is the turn of the next one.
    Close(String),
    /// Close the wave, which was the last: the task ends.
    Finish(String),
    /// The last running target of a wave that was halted or stopped is in: the task ends so.
    FinishCutShort(TaskStatus),
}

/// What follows from the state of the current wave: the first that is not closed.
pub fn next_step(wave: &WaveState) -> Step {
    let is_over = wave.missing() + wave.others.missing() == 0;
    match wave.status {
        WaveStatus::Halted if is_over => Step::FinishCutShort(TaskStatus::Halted),
        WaveStatus::Stopped if is_over => Step::FinishCutShort(TaskStatus::Stopped),
        WaveStatus::Halted | WaveStatus::Stopped | WaveStatus::Closed => Step::AdmissionBlock(None),
        // It waits for its turn, and the waves before it may still halt it.
        WaveStatus::Pending => match gate::decide(&wave.gate_input()) {
            Verdict::Halt(reason) => Step::Halt(reason),
            Verdict::AdmissionBlock(_) | Verdict::Proceed(_) => Step::AdmissionBlock(None),
        },
        WaveStatus::Open => match gate::decide(&wave.gate_input()) {
            Verdict::Halt(reason) => Step::Halt(reason),
            Verdict::AdmissionBlock(reason) => Step::AdmissionBlock(Some(reason)),
            Verdict::Proceed(reason) if wave.is_last => Step::Finish(reason),
            Verdict::Proceed(reason) => Step::Close(reason),
        },
    }
}

/// What kind of reason halts the rollout, where the gate halts it by this wave.
pub fn halt_kind(wave: &WaveState) -> Option<HaltKind> {
    gate::halt(&wave.gate_input()).map(|(kind, _)| kind)
}

/// Why a wave that was closed on a quorum halts the rollout after all: its last targets counted too.
pub fn late_halt(wave: &WaveState) -> Option<String> {
    // What counts over all waves is looked at with the current one.
    let own = GateInput { task_threshold: None, ..wave.gate_input() };
    match gate::decide(&own) {
        Verdict::Halt(reason) => Some(reason),
        Verdict::AdmissionBlock(_) | Verdict::Proceed(_) => None,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
