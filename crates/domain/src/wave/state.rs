//! The life cycle of a wave, and the steps that follow from its results.

use crate::{
    BasisPoints, evidence,
    gate::{self, GateInput, HaltKind, Results, Verdict},
    limits,
    outcome::Outcome,
    policy::RolloutPolicy,
    string_enum::string_enum,
    tally::Tally,
    task::TaskStatus,
    threshold::Threshold,
};

/// Status of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaveStatus {
    /// Waits for the previous wave or for its start conditions.
    Pending,
    /// Its targets are admitted.
    Open,
    /// All its targets ended, or a quorum of them, and the gate let the rollout proceed.
    Closed,
    /// The gate halted the rollout in this wave.
    Halted,
    /// A person stopped the task in this wave, or the task expired.
    Stopped,
}

impl WaveStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Open, Self::Closed, Self::Halted, Self::Stopped];

    /// Returns the word in SQL, proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::Halted => "HALTED",
            Self::Stopped => "STOPPED",
        }
    }

    /// Returns whether the wave ended before all its targets were admitted, and admits no more.
    pub const fn is_cut_short(self) -> bool {
        matches!(self, Self::Halted | Self::Stopped)
    }
}

string_enum!(WaveStatus, "status");

/// The state of a wave under its row lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaveState {
    /// Status of the wave.
    pub status: WaveStatus,
    /// Number of its targets.
    pub size: u32,
    /// Number of targets that were admitted and not withdrawn. Each of them ends in an outcome.
    pub admitted: u32,
    /// Number of admitted targets that were never delivered and whose desktop is offline. They
    /// occupy no slot.
    pub waiting: u32,
    /// Its targets by outcome.
    pub tally: Tally,
    /// Number of targets that count as failures by the task's policy.
    pub failed: u32,
    /// Number of targets that halt the rollout immediately.
    pub halting: u32,
    /// Failures at which the wave halts the rollout; `None` without a threshold.
    pub fail_threshold: Option<Threshold>,
    /// Whether no wave follows.
    pub is_last: bool,
    /// Totals of the other waves of its task.
    pub others: OtherWaves,
    /// Terms that apply to all waves of the task.
    pub terms: WaveTerms,
}

/// Totals of the other waves of a task. Earlier waves are closed, and those closed on a quorum may
/// miss targets. Later waves have not begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtherWaves {
    /// Results of all other waves.
    pub results: Results,
    /// Number of their targets in flight.
    pub in_flight: u32,
    /// Number of their waiting targets, whose desktop is offline.
    pub waiting: u32,
}

impl OtherWaves {
    /// Returns the totals with one more wave.
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

    /// Returns the number of targets without an outcome.
    pub const fn missing(&self) -> u32 {
        self.in_flight + self.waiting
    }
}

/// Updates each wave's totals over the other waves. `settled` are the results of ended waves that
/// are not in `waves`.
pub fn refresh_totals<'a>(settled: Results, waves: impl IntoIterator<Item = &'a mut WaveState>) {
    let mut waves: Vec<&mut WaveState> = waves.into_iter().collect();
    for place in 0..waves.len() {
        let start = OtherWaves { results: settled, ..OtherWaves::default() };
        let others = waves.iter().enumerate().filter(|(other, _)| *other != place);
        waves[place].others = others.fold(start, |sum, (_, wave)| sum.and(wave));
    }
}

/// Terms of a task that apply to all its waves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaveTerms {
    /// Failures of all waves together at which the rollout halts; `None` without a threshold.
    pub task_threshold: Option<Threshold>,
    /// Whether targets are admitted only while failures plus targets in flight stay below the
    /// thresholds.
    pub strict: bool,
    /// Maximum number of targets in flight; `None` without a limit.
    pub max_concurrency: Option<u32>,
    /// Share of finished targets at which a wave closes while the remaining desktops are offline;
    /// `None` without a quorum.
    pub quorum: Option<BasisPoints>,
    /// Share of a wave's targets that must succeed before the next wave opens; `None` for one
    /// target.
    pub min_success: Option<BasisPoints>,
    /// Whether a target that is never reached does not count as a failure, at its deadline or by a
    /// person's stop.
    pub ignores_away: bool,
}

impl WaveTerms {
    /// Creates the terms from a task's policy.
    pub fn new(policy: &RolloutPolicy, max_concurrency: Option<u32>) -> Self {
        Self {
            task_threshold: policy.fail_threshold,
            strict: policy.strict,
            max_concurrency,
            quorum: policy.quorum,
            min_success: policy.min_success,
            ignores_away: !policy.counts_away(),
        }
    }
}

impl WaveState {
    /// Returns the number of admitted targets without an outcome that may run, or may have run.
    pub fn in_flight(&self) -> u32 {
        self.missing().saturating_sub(self.waiting)
    }

    /// Returns the number of admitted targets without an outcome.
    pub fn missing(&self) -> u32 {
        self.admitted.saturating_sub(self.tally.finished())
    }

    /// Returns the results, as thresholds use them.
    pub fn results(&self) -> Results {
        Results { finished: self.tally.finished(), failed: self.failed }
    }

    /// Returns the number of targets that may be admitted now. In strict mode the threshold is just
    /// reached if all of them fail, so no more than that can ever fail.
    pub fn admission(&self) -> u32 {
        if self.status != WaveStatus::Open {
            return 0;
        }
        let most = match self.admitted {
            0 => limits::MAX_TARGETS_PER_FIRST_CUT,
            _ => limits::MAX_TARGETS_PER_CUT,
        };
        let room = (self.size - self.admitted).min(most);
        room.min(self.places()).min(self.risk())
    }

    /// Returns the number of waiting targets that may be dispatched once their desktops are online.
    /// Also applies to a wave that closed on a quorum.
    pub fn late_admission(&self) -> u32 {
        if !matches!(self.status, WaveStatus::Open | WaveStatus::Closed) {
            return 0;
        }
        let room = self.waiting.min(limits::MAX_TARGETS_PER_CUT).min(self.places());
        // If a desktop that stays offline counts as a failure, waiting targets are already at risk.
        if self.terms.ignores_away { room.min(self.risk()) } else { room }
    }

    /// Returns the number of free slots under `max_concurrency`.
    fn places(&self) -> u32 {
        let taken = self.others.in_flight + self.in_flight();
        self.terms.max_concurrency.map_or(u32::MAX, |most| most.saturating_sub(taken))
    }

    /// Returns how many more targets strict mode allows to be at risk.
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

    /// Returns the input of the gate.
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

    /// Returns the reason why the next wave may not open on the results of this one; `None` if it
    /// may. The last wave needs no evidence.
    pub fn missing_evidence(&self) -> Option<String> {
        let succeeded = self.tally.get(Outcome::Success);
        evidence::missing(succeeded, self.size, self.terms.min_success).filter(|_| !self.is_last)
    }

    /// Returns whether a result may free a slot for another target.
    pub const fn admits_by_results(&self) -> bool {
        self.terms.strict || self.terms.max_concurrency.is_some()
    }
}

/// The next step, in the transaction that stored the results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// No step: results are missing. Contains the gate's reason if the gate was evaluated.
    Hold(Option<String>),
    /// Withdraw undelivered targets and admit no more. Evaluate again afterwards whether the task
    /// ends.
    Halt(String),
    /// Close the wave. The next wave follows.
    Close(String),
    /// Close the last wave. The task ends.
    Finish(String),
    /// The last running target of a halted or stopped wave ended. The task ends with this status.
    FinishCutShort(TaskStatus),
}

/// Returns the step that follows from the current wave, which is the first wave that is not closed.
pub fn next_step(wave: &WaveState) -> Step {
    let is_over = wave.missing() + wave.others.missing() == 0;
    match wave.status {
        WaveStatus::Halted if is_over => Step::FinishCutShort(TaskStatus::Halted),
        WaveStatus::Stopped if is_over => Step::FinishCutShort(TaskStatus::Stopped),
        WaveStatus::Halted | WaveStatus::Stopped | WaveStatus::Closed => Step::Hold(None),
        // The wave is pending, and earlier waves may still halt it.
        WaveStatus::Pending => match gate::decide(&wave.gate_input()) {
            Verdict::Halt(reason) => Step::Halt(reason),
            Verdict::Hold(_) | Verdict::Proceed(_) => Step::Hold(None),
        },
        WaveStatus::Open => match gate::decide(&wave.gate_input()) {
            Verdict::Halt(reason) => Step::Halt(reason),
            Verdict::Hold(reason) => Step::Hold(Some(reason)),
            Verdict::Proceed(reason) if wave.is_last => Step::Finish(reason),
            Verdict::Proceed(reason) => Step::Close(reason),
        },
    }
}

/// Returns the rule that halts the rollout in this wave; `None` if the gate does not halt.
pub fn halt_kind(wave: &WaveState) -> Option<HaltKind> {
    gate::halt(&wave.gate_input()).map(|(kind, _)| kind)
}

/// Returns the reason if a wave that closed on a quorum halts the rollout through its late results.
pub fn late_halt(wave: &WaveState) -> Option<String> {
    // Task-wide thresholds are evaluated with the current wave.
    let own = GateInput { task_threshold: None, ..wave.gate_input() };
    match gate::decide(&own) {
        Verdict::Halt(reason) => Some(reason),
        Verdict::Hold(_) | Verdict::Proceed(_) => None,
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
