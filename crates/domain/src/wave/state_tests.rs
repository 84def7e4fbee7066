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
        others: OtherWaves::default(),
        terms: WaveTerms::default(),
    }
}

#[test]
fn next_wave_opens_once_all_ended_below_the_threshold() {
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
        // A wave that closed on a quorum may still have running targets.
        let others = OtherWaves { in_flight: 1, ..OtherWaves::default() };
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
    let large = WaveState { size: 1_000_000, ..open(0, 0, 0) };
    assert_eq!(large.admission(), limits::MAX_TARGETS_PER_FIRST_CUT, "the first ones start soon");
    assert_eq!(WaveState { admitted: 500, ..large }.admission(), limits::MAX_TARGETS_PER_CUT);
}

#[test]
fn room_has_limits_of_concurrency_and_strict_failures() {
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
    let task = WaveTerms { strict: true, task_threshold: Some(Threshold::Count(6)), ..WaveTerms::default() };
    let others = OtherWaves { results: Results { finished: 50, failed: 2 }, ..OtherWaves::default() };
    assert_eq!(WaveState { others, ..with(task) }.admission(), 1);
    // A missing target of a wave that closed on a quorum may fail as well.
    let others = OtherWaves { waiting: 1, ..others };
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
    assert_eq!(away(strict).admission(), 0, "one failed, one runs, three may end as UNDELIVERED");
    assert_eq!(away(strict).late_admission(), 3, "waiting targets are already at risk");
    let ignoring = WaveTerms { ignores_away: true, ..strict };
    assert_eq!((away(ignoring).admission(), away(ignoring).late_admission()), (3, 3));
    let risky = WaveState { failed: 3, ..away(ignoring) };
    assert_eq!((risky.admission(), risky.late_admission()), (1, 1));
    for (status, late) in [(WaveStatus::Closed, 3), (WaveStatus::Halted, 0), (WaveStatus::Stopped, 0)] {
        assert_eq!(WaveState { status, ..plain }.late_admission(), late, "{status}");
    }
}

#[test]
fn offline_target_is_at_risk_if_only_its_stop_counts() {
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
    // One failed and one runs; a person may stop the three waiting ones.
    assert_eq!(ignore(None).admission(), 3);
    assert_eq!(ignore(Some(Weight::Count)).admission(), 0);
    assert_eq!(ignore(Some(Weight::Count)).late_admission(), 3, "waiting targets are already at risk");
}

#[test]
fn a_late_failure_of_a_closed_wave_halts_what_follows() {
    let closed = WaveState { status: WaveStatus::Closed, ..open(2, 1, 4) };
    assert_eq!(late_halt(&closed), None);
    let failed = WaveState { failed: 2, ..closed };
    assert!(late_halt(&failed).unwrap().contains("threshold 2"));
    // The task's threshold is evaluated with the current wave, even while that wave is pending.
    let terms = WaveTerms { task_threshold: Some(Threshold::Count(3)), ..WaveTerms::default() };
    let failed = WaveState { fail_threshold: None, failed: 3, terms, ..closed };
    assert_eq!(late_halt(&failed), None);
    let others = OtherWaves::default().and(&failed);
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
    let others = OtherWaves { waiting: 1, ..OtherWaves::default() };
    assert!(matches!(next_step(&WaveState { others, ..last }), Step::Hold(Some(_))));
    assert!(matches!(next_step(&WaveState { others, is_last: false, ..last }), Step::Close(_)));
}

#[test]
fn each_wave_knows_what_the_others_have_come_to() {
    let mut waves = [open(2, 1, 4), open(1, 0, 2), open(0, 0, 0)];
    waves[0].waiting = 1;
    refresh_totals(Results { finished: 10, failed: 2 }, &mut waves);
    let results = |wave: &WaveState| (wave.others.results.finished, wave.others.results.failed);
    assert_eq!(waves.each_ref().map(results), [(11, 2), (13, 3), (14, 3)]);
    let missing = waves.each_ref().map(|wave| (wave.others.in_flight, wave.others.waiting));
    assert_eq!(missing, [(1, 0), (0, 1), (1, 1)]);
}

#[test]
fn status_round_trips_and_reports_whether_it_is_cut_short() {
    for status in WaveStatus::ALL {
        assert_eq!(status.as_str().parse::<WaveStatus>().unwrap(), status);
    }
    assert_eq!(
        WaveStatus::ALL.map(WaveStatus::is_cut_short),
        [false, false, false, true, true],
        "a wave that is halted or stopped"
    );
}
