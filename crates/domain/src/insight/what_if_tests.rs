use chrono::TimeDelta;

use super::*;
use crate::threshold::Threshold;

fn waves(sizes: &[(u32, Option<u32>)]) -> Vec<PlannedWave> {
    let mut first_ordinal = 0;
    (1..)
        .zip(sizes)
        .map(|(wave, &(size, count))| {
            let fail_threshold = count.map(Threshold::Count);
            let planned = PlannedWave { wave, first_ordinal, size, fail_threshold };
            first_ordinal += size;
            planned
        })
        .collect()
}

fn results(outcomes: &[Outcome]) -> Vec<Finished> {
    (0..)
        .zip(outcomes)
        .map(|(ordinal, &outcome)| Finished {
            ordinal,
            outcome,
            exit_code: (outcome == Failed).then_some(3),
            ended_at: Timestamp::UNIX_EPOCH + TimeDelta::seconds(i64::from(ordinal)),
        })
        .collect()
}

use Outcome::{Failed, Success};

#[test]
fn a_stricter_policy_would_have_stopped_earlier() {
    let recorded = results(&[Success, Failed, Success, Failed, Failed, Success]);
    let policy = RolloutPolicy::default();
    let as_it_was = replay(&waves(&[(2, Some(2)), (4, None)]), &policy, None, &recorded);
    assert_eq!((as_it_was.ending, as_it_was.started, as_it_was.failed), (Ending::Completed, 6, 3));
    let stricter = replay(&waves(&[(2, Some(1)), (4, None)]), &policy, None, &recorded);
    assert_eq!((stricter.ending, stricter.started, stricter.failed), (Ending::Halted, 2, 1));
    assert_eq!(stricter.halted_at, Some(recorded[1].ended_at));
    let task = RolloutPolicy { fail_threshold: Some(Threshold::Count(3)), ..policy.clone() };
    let over_all = replay(&waves(&[(2, None), (4, None)]), &task, None, &recorded);
    assert_eq!((over_all.ending, over_all.waves.len(), over_all.failed), (Ending::Halted, 2, 3));
    let lenient = RolloutPolicy { exit_codes: [(3, Weight::Ignore)].into(), ..policy };
    let ignored = replay(&waves(&[(2, Some(1)), (4, Some(1))]), &lenient, None, &recorded);
    assert_eq!((ignored.ending, ignored.failed), (Ending::Completed, 0));
    let halting = RolloutPolicy { exit_codes: [(3, Weight::Halt)].into(), ..RolloutPolicy::default() };
    let halted = replay(&waves(&[(6, None)]), &halting, None, &recorded);
    assert_eq!((halted.ending, halted.failed, halted.waves[0].finished), (Ending::Halted, 1, 2));
}

#[test]
fn an_exit_code_is_a_success_where_the_policy_read_says_so() {
    let mut recorded = results(&[Success, Failed]);
    recorded[0].exit_code = Some(3010);
    let one_wave = waves(&[(2, Some(1))]);
    let zero = Finished { exit_code: Some(0), ..recorded[0] };
    let good = replay(&one_wave, &RolloutPolicy::default(), None, &[zero]);
    assert_eq!(good.failed, 0, "0 is always a success");
    let plain = replay(&one_wave, &RolloutPolicy::default(), None, &recorded);
    assert_eq!((plain.ending, plain.failed, plain.waves[0].finished), (Ending::Halted, 1, 1));
    let lenient = RolloutPolicy { success_exit_codes: vec![3, 3010], ..RolloutPolicy::default() };
    let read = replay(&one_wave, &lenient, None, &recorded);
    assert_eq!((read.ending, read.failed), (Ending::Completed, 0));
}

#[test]
fn what_never_ran_is_not_guessed() {
    let halted = results(&[Success, Failed]);
    let more = replay(&waves(&[(2, None), (4, None)]), &RolloutPolicy::default(), None, &halted);
    assert_eq!((more.ending, more.waves.len()), (Ending::Undecided, 2));
    assert_eq!(more.waves[1].verdict, "4 of 4 targets never ran: undecided");
    assert_eq!(more.halted_at, None);
}

#[test]
fn results_are_read_in_the_order_of_time_not_of_the_plan() {
    let mut recorded = results(&[Failed, Failed, Success, Success]);
    recorded[0].ended_at += TimeDelta::hours(1);
    let answer = replay(&waves(&[(4, Some(2))]), &RolloutPolicy::default(), None, &recorded);
    assert_eq!((answer.ending, answer.halted_at), (Ending::Halted, Some(recorded[0].ended_at)));
    assert_eq!(answer.waves[0].finished, 4);
}

#[test]
fn a_wave_without_enough_successes_holds_the_next_one() {
    let recorded = results(&[Failed, Failed, Success, Failed, Success]);
    let policy = RolloutPolicy::default();
    let nothing = replay(&waves(&[(2, None), (3, None)]), &policy, None, &recorded);
    assert_eq!((nothing.ending, nothing.started), (Ending::Held, 2));
    assert!(nothing.waves[0].verdict.ends_with("0 of 2 targets succeeded, and the next wave needs 1"));
    let enough = replay(&waves(&[(3, None), (2, None)]), &policy, None, &recorded);
    assert_eq!(enough.ending, Ending::Completed, "the last wave needs none");
    let half = RolloutPolicy { min_success: crate::BasisPoints::new(5_000), ..policy };
    let held = replay(&waves(&[(3, None), (2, None)]), &half, None, &recorded);
    assert_eq!(held.ending, Ending::Held);
}
