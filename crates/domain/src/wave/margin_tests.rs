use proptest::prelude::*;

use super::*;
use crate::{
    BasisPoints,
    outcome::Outcome,
    tally::Tally,
    wave::{OtherWaves, WaveTerms},
};

/// An open wave of 20 targets.
fn open(success: u32, failed: u32, admitted: u32) -> WaveState {
    let mut tally = Tally::default();
    tally.add_many(Outcome::Success, success);
    tally.add_many(Outcome::Failed, failed);
    WaveState {
        status: WaveStatus::Open,
        size: 20,
        admitted,
        waiting: 0,
        tally,
        failed,
        halting: 0,
        fail_threshold: Some(Threshold::Count(4)),
        is_last: false,
        others: OtherWaves::default(),
        terms: WaveTerms::default(),
    }
}

fn percent(percent: f64, min_results: u32) -> Threshold {
    Threshold::Percent { share: BasisPoints::from_percent(percent).unwrap(), min_results }
}

#[test]
fn failures_and_targets_at_risk_stand_against_the_threshold() {
    let found = margin(&open(6, 1, 10));
    assert_eq!((found.scope, found.failed, found.at_risk), (Some(MarginScope::Wave), 1, 3));
    assert_eq!((found.threshold, found.left, found.worst_case), (Some(4), Some(3), 14));
    assert_eq!((found.verdict, found.is_unreachable), (MarginVerdict::Hold, false));
    assert_eq!(found.sentence, "1 of 20 targets failed, 3 are at risk; the rollout halts at 4 failures");
}

#[test]
fn strict_mode_bounds_the_worst_case_by_the_threshold() {
    let mut wave = open(6, 1, 10);
    wave.terms.strict = true;
    assert_eq!(margin(&wave).worst_case, 4);
}

#[test]
fn concurrency_bounds_the_worst_case_without_strict_mode() {
    let mut wave = open(6, 1, 10);
    (wave.terms.max_concurrency, wave.terms.ignores_away) = (Some(5), true);
    // Three more failures reach the threshold, and four others may be in flight at that moment.
    assert_eq!(margin(&wave).worst_case, 1 + 3 + 4);
    // A desktop that stays offline is a failure, and no concurrency bounds their number.
    wave.terms.ignores_away = false;
    assert_eq!(margin(&wave).worst_case, 14);
}

#[test]
fn nearest_of_two_thresholds_is_shown() {
    let mut wave = open(6, 1, 10);
    wave.others.results = Results { finished: 10, failed: 3 };
    wave.terms.task_threshold = Some(Threshold::Count(6));
    let found = margin(&wave);
    assert_eq!((found.scope, found.failed, found.left), (Some(MarginScope::Task), 4, Some(2)));
    assert!(found.sentence.starts_with("4 of 30 targets of all waves so far failed"), "{}", found.sentence);
    wave.terms.task_threshold = Some(Threshold::Count(60));
    assert_eq!(margin(&wave).scope, Some(MarginScope::Wave), "the other one cannot be reached");
}

#[test]
fn percentage_is_shown_as_the_failures_that_reach_it() {
    let mut wave = open(9, 0, 12);
    wave.fail_threshold = Some(percent(25.0, 1));
    // 3 of 12 are 25 %.
    assert_eq!((margin(&wave).threshold, margin(&wave).left), (Some(3), Some(3)));
    wave.fail_threshold = Some(percent(25.0, 15));
    assert_eq!(margin(&wave).threshold, Some(6), "6 of 15: fewer results are not judged");
    wave = open(19, 0, 20);
    wave.fail_threshold = Some(percent(50.0, 1));
    assert!(margin(&wave).is_unreachable);
}

#[test]
fn targets_that_are_left_may_be_too_few_to_halt() {
    let found = margin(&open(18, 0, 20));
    assert!(found.is_unreachable);
    assert_eq!((found.left, found.worst_case), (Some(4), 2));
    assert!(found.sentence.contains("cannot reach the fail threshold 4"), "{}", found.sentence);
}

#[test]
fn halted_wave_can_only_lose_targets_at_risk() {
    let found = margin(&WaveState { status: WaveStatus::Halted, ..open(6, 4, 12) });
    assert_eq!((found.verdict, found.left, found.worst_case), (MarginVerdict::Halt, Some(0), 6));
    assert!(found.sentence.ends_with("admits no more targets"), "{}", found.sentence);
}

#[test]
fn wave_without_a_threshold_has_no_margin() {
    let mut wave = open(6, 1, 10);
    wave.fail_threshold = None;
    let found = margin(&wave);
    assert_eq!((found.scope, found.threshold, found.left, found.worst_case), (None, None, None, 14));
    assert_eq!(found.sentence, "1 of 20 targets failed, 3 are at risk; no fail threshold is set");
}

#[test]
fn offline_desktops_are_at_risk_only_if_they_count() {
    let mut wave = WaveState { waiting: 2, ..open(6, 1, 10) };
    assert_eq!(margin(&wave).at_risk, 3);
    wave.terms.ignores_away = true;
    assert_eq!(margin(&wave).at_risk, 1);
}

#[test]
fn margin_of_a_task_is_that_of_its_first_open_wave() {
    let closed = WaveState { status: WaveStatus::Closed, ..open(18, 2, 20) };
    let mut current = open(3, 1, 5);
    current.terms.task_threshold = Some(Threshold::Count(4));
    let pending = WaveState { status: WaveStatus::Pending, ..open(0, 0, 0) };
    let found = of_task(TaskStatus::Running, [closed, current, pending]).unwrap();
    assert_eq!((found.scope, found.failed, found.left), (Some(MarginScope::Task), 3, Some(1)));
    assert_eq!(of_task(TaskStatus::Halted, [closed, current, pending]), None);
    assert_eq!(of_task(TaskStatus::Running, [closed]), None);
}

proptest! {
    /// The gate halts exactly with the number of failures that the margin names.
    #[test]
    fn gate_halts_at_the_failures_that_the_margin_names(
        success in 0_u32..20, failed in 0_u32..10, count in 1_u32..12, share in 1_u32..100, min in 1_u32..20,
        is_percent: bool,
    ) {
        prop_assume!(success + failed <= 20);
        let mut wave = open(success, failed, 20);
        wave.fail_threshold = Some(if is_percent { percent(f64::from(share), min) } else { Threshold::Count(count) });
        let found = margin(&wave);
        prop_assume!(found.verdict != MarginVerdict::Halt && !found.is_unreachable);
        let left = found.left.unwrap();
        prop_assert!(left > 0 && found.failed + left <= found.worst_case);
        let after = |more: u32| {
            let mut wave = open(success, failed + more, 20);
            wave.fail_threshold = found.given;
            gate::halt(&wave.gate_input()).is_some()
        };
        prop_assert!(after(left));
        prop_assert!(!after(left - 1));
    }
}
