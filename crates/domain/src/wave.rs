//! The life of a wave, and what follows from its results.

use crate::{
    gate::{self, GateInput, Results, Verdict},
    limits,
    policy::RolloutPolicy,
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
    pub others: Others,
    /// What the task says for all of its waves.
    pub terms: WaveTerms,
}

/// What the other waves of a task have come to. Those before the current one are closed, and of those closed on a quorum
/// some targets may still be missing; those behind it have not begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Others {
    /// Of all of them.
    pub results: Results,
    /// Their targets that may run.
    pub in_flight: u32,
    /// Their targets whose desktop is away.
    pub waiting: u32,
}

impl Others {
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
pub fn relate<'a>(settled: Results, waves: impl IntoIterator<Item = &'a mut WaveState>) {
    let mut waves: Vec<&mut WaveState> = waves.into_iter().collect();
    for place in 0..waves.len() {
        let start = Others { results: settled, ..Others::default() };
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
    pub ignores_undelivered: bool,
}

impl WaveTerms {
    /// From what a task says of its rollout.
    pub fn new(policy: &RolloutPolicy, max_concurrency: Option<u32>) -> Self {
        Self {
            task_threshold: policy.fail_threshold,
            strict: policy.strict,
            max_concurrency,
            quorum: policy.quorum,
            ignores_undelivered: !policy.counts_away(),
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
        if self.terms.ignores_undelivered { room.min(self.risk()) } else { room }
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
            |in_flight, waiting| if self.terms.ignores_undelivered { in_flight } else { in_flight + waiting };
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
    Hold(Option<String>),
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
        WaveStatus::Halted | WaveStatus::Stopped | WaveStatus::Closed => Step::Hold(None),
        // It waits for its turn, and the waves before it may still halt it.
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

/// Why a wave that was closed on a quorum halts the rollout after all: its last targets counted too.
pub fn late_halt(wave: &WaveState) -> Option<String> {
    // What counts over all waves is looked at with the current one.
    let own = GateInput { task_threshold: None, ..wave.gate_input() };
    match gate::decide(&own) {
        Verdict::Halt(reason) => Some(reason),
        Verdict::Hold(_) | Verdict::Proceed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outcome::Outcome, policy::Weight};

    fn open(success: u32, failed: u32, admitted: u32) -> WaveState {
        let mut tally = Tally::default();
        tally.add_many(Outcome::Success, success);
        tally.add_many(Outcome::Failed, failed);
        WaveState {
            status: WaveStatus::Open,
            size: 4,
            admitted,
            waiting: 0,
            tally,
            failed,
            halting: 0,
            fail_threshold: Some(Threshold::Count(2)),
            is_last: false,
            others: Others::default(),
            terms: WaveTerms::default(),
        }
    }

    #[test]
    fn a_wave_opens_the_next_only_when_all_ended_below_the_threshold() {
        assert!(matches!(next_step(&open(2, 1, 4)), Step::Hold(Some(_))));
        assert!(matches!(next_step(&open(3, 1, 4)), Step::Close(_)));
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
            assert_eq!(next_step(&short), Step::Hold(None));
            let done = WaveState { admitted: 2, ..short };
            assert_eq!(next_step(&done), Step::FinishCutShort(ended));
            // Of a wave that was closed on a quorum something may still run.
            let others = Others { in_flight: 1, ..Others::default() };
            assert_eq!(next_step(&WaveState { others, ..done }), Step::Hold(None));
            assert_eq!(WaveState { admitted: 2, ..short }.admission(), 0);
        }
    }

    #[test]
    fn only_an_open_wave_does_anything() {
        for status in [WaveStatus::Pending, WaveStatus::Closed] {
            let wave = WaveState { status, ..open(0, 0, 0) };
            assert_eq!(next_step(&wave), Step::Hold(None));
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
        let others = Others { results: Results { finished: 50, failed: 2 }, ..Others::default() };
        assert_eq!(WaveState { others, ..with(task) }.admission(), 1);
        // A missing one of a wave that was closed on a quorum may fail as well.
        let others = Others { waiting: 1, ..others };
        assert_eq!(WaveState { others, ..with(task) }.admission(), 0);
        assert!(strict.admits_by_results() && !with(WaveTerms::default()).admits_by_results());
    }

    #[test]
    fn who_is_away_holds_no_place_but_may_fail() {
        let away = |terms: WaveTerms| WaveState {
            size: 100,
            fail_threshold: Some(Threshold::Count(5)),
            admitted: 8,
            waiting: 3,
            terms,
            ..open(3, 1, 8)
        };
        let plain = away(WaveTerms::default());
        assert_eq!((plain.missing(), plain.in_flight()), (4, 1));
        let two = WaveTerms { max_concurrency: Some(2), ..WaveTerms::default() };
        assert_eq!((away(two).admission(), away(two).late_admission()), (1, 1));
        let strict = WaveTerms { strict: true, ..WaveTerms::default() };
        assert_eq!(away(strict).admission(), 0, "one failed, one runs, three may be UNDELIVERED");
        assert_eq!(away(strict).late_admission(), 3, "they are at risk already");
        let ignoring = WaveTerms { ignores_undelivered: true, ..strict };
        assert_eq!((away(ignoring).admission(), away(ignoring).late_admission()), (3, 3));
        let risky = WaveState { failed: 3, ..away(ignoring) };
        assert_eq!((risky.admission(), risky.late_admission()), (1, 1));
        for (status, late) in [(WaveStatus::Closed, 3), (WaveStatus::Halted, 0), (WaveStatus::Stopped, 0)] {
            assert_eq!(WaveState { status, ..plain }.late_admission(), late, "{status}");
        }
    }

    #[test]
    fn who_is_away_is_at_risk_where_a_stop_counts_although_undelivered_does_not() {
        let ignore = |stopped: Option<Weight>| {
            let stopped = stopped.map(|weight| (Outcome::Stopped, weight));
            let outcomes = [(Outcome::Undelivered, Weight::Ignore)].into_iter().chain(stopped).collect();
            let policy = RolloutPolicy { strict: true, outcomes, ..RolloutPolicy::default() };
            WaveState {
                size: 100,
                fail_threshold: Some(Threshold::Count(5)),
                admitted: 8,
                waiting: 3,
                terms: WaveTerms::new(&policy, None),
                ..open(3, 1, 8)
            }
        };
        // One failed and one runs; a person may stop the three that are away.
        assert_eq!(ignore(None).admission(), 3);
        assert_eq!(ignore(Some(Weight::Count)).admission(), 0);
        assert_eq!(ignore(Some(Weight::Count)).late_admission(), 3, "they are at risk already");
    }

    #[test]
    fn a_late_failure_of_a_closed_wave_halts_what_follows() {
        let closed = WaveState { status: WaveStatus::Closed, ..open(2, 1, 4) };
        assert_eq!(late_halt(&closed), None);
        let failed = WaveState { failed: 2, ..closed };
        assert!(late_halt(&failed).unwrap().contains("threshold 2"));
        // The task's threshold is looked at with the current wave, also while that one waits for its turn.
        let terms = WaveTerms { task_threshold: Some(Threshold::Count(3)), ..WaveTerms::default() };
        let failed = WaveState { fail_threshold: None, failed: 3, terms, ..closed };
        assert_eq!(late_halt(&failed), None);
        let others = Others::default().and(&failed);
        assert_eq!((others.results.failed, others.missing()), (3, 1));
        for status in [WaveStatus::Pending, WaveStatus::Open] {
            let current = WaveState { status, others, terms, ..open(0, 0, 0) };
            assert!(matches!(next_step(&current), Step::Halt(_)), "{status}");
        }
    }

    #[test]
    fn the_last_wave_waits_for_those_of_earlier_waves() {
        let last = WaveState { is_last: true, ..open(4, 0, 4) };
        assert!(matches!(next_step(&last), Step::Finish(_)));
        let others = Others { waiting: 1, ..Others::default() };
        assert!(matches!(next_step(&WaveState { others, ..last }), Step::Hold(Some(_))));
        assert!(matches!(next_step(&WaveState { others, is_last: false, ..last }), Step::Close(_)));
    }

    #[test]
    fn each_wave_knows_what_the_others_have_come_to() {
        let mut waves = [open(2, 1, 4), open(1, 0, 2), open(0, 0, 0)];
        waves[0].waiting = 1;
        relate(Results { finished: 10, failed: 2 }, &mut waves);
        let results = |wave: &WaveState| (wave.others.results.finished, wave.others.results.failed);
        assert_eq!(waves.each_ref().map(results), [(11, 2), (13, 3), (14, 3)]);
        let missing = waves.each_ref().map(|wave| (wave.others.in_flight, wave.others.waiting));
        assert_eq!(missing, [(1, 0), (0, 1), (1, 1)]);
    }
}
