use proptest::prelude::*;

use super::*;
use crate::{
    outcome::Outcome,
    policy::{RolloutPolicy, Weight},
};

fn input(size: u32, finished: u32, failed: u32, fail_threshold: Option<Threshold>) -> GateInput {
    GateInput {
        size,
        results: Results { finished, failed },
        halting: 0,
        fail_threshold,
        waiting: 0,
        quorum: None,
        earlier: Results::default(),
        earlier_missing: 0,
        is_last: false,
        is_closed: false,
        task_threshold: None,
    }
}

const fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Proceed(_) => "proceed",
        Verdict::Hold(_) => "hold",
        Verdict::Halt(_) => "halt",
    }
}

/// Parses a cell of the page: empty, a count, or a percentage with its minimum number of results,
/// as `2% of 50`.
fn threshold(cell: &str) -> Option<Threshold> {
    if cell == "-" {
        return None;
    }
    match cell.split_once('%') {
        None => Some(Threshold::Count(cell.parse().unwrap())),
        Some((percent, rest)) => {
            let min_results = rest.trim().strip_prefix("of ").map(|number| number.parse().unwrap());
            Some(Threshold::new(None, Some(percent.parse().unwrap()), min_results).unwrap())
        }
    }
}

fn results(cell: &str) -> Results {
    let (failed, finished) = cell.split_once('/').unwrap();
    Results { finished: finished.trim().parse().unwrap(), failed: failed.trim().parse().unwrap() }
}

/// The decision table of docs/gate.md, row by row.
#[test]
fn the_page_says_what_the_rule_does() {
    let page = include_str!("../../../../docs/gate.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains('/'));
    let mut seen = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (input, expected) = match cells.as_slice() {
            [size, wave, fail, halting, earlier, task, expected, _why] => {
                let given = GateInput {
                    results: results(wave),
                    halting: halting.parse().unwrap(),
                    fail_threshold: threshold(fail),
                    earlier: results(earlier),
                    task_threshold: threshold(task),
                    ..input(size.parse().unwrap(), 0, 0, None)
                };
                (given, expected)
            }
            [size, wave, away, quorum, last, expected, _why] => {
                let missing =
                    last.strip_prefix("last, ").map_or("0", |rest| rest.strip_suffix(" missing").unwrap());
                let given = GateInput {
                    results: results(wave),
                    waiting: away.parse().unwrap(),
                    quorum: quorum
                        .strip_suffix('%')
                        .map(|percent| BasisPoints::from_percent(percent.parse().unwrap()).unwrap()),
                    is_last: last.starts_with("last"),
                    earlier_missing: missing.parse().unwrap(),
                    ..input(size.parse().unwrap(), 0, 0, Some(Threshold::Count(2)))
                };
                (given, expected)
            }
            _ => panic!("{row}"),
        };
        let verdict = decide(&input);
        assert_eq!(word(&verdict), *expected, "{row}: {verdict:?}");
        seen += 1;
    }
    assert!(seen >= 35, "{seen} rows");
}

fn percent_of(percent: f64, min_results: i64) -> Option<Threshold> {
    Threshold::new(None, Some(percent), Some(min_results)).ok()
}

#[test]
fn quorum_close_below_min_results_is_judged() {
    let quorum =
        GateInput { waiting: 2, quorum: BasisPoints::new(5_000), ..input(4, 2, 2, percent_of(20.0, 4)) };
    assert_eq!(word(&decide(&quorum)), "halt");
    assert_eq!(word(&decide(&GateInput { waiting: 1, ..quorum })), "hold");
}

#[test]
fn closed_wave_with_late_failure_is_judged() {
    let late =
        GateInput { is_closed: true, quorum: BasisPoints::new(5_000), ..input(4, 3, 1, percent_of(20.0, 4)) };
    assert_eq!(word(&decide(&late)), "halt");
    assert_eq!(word(&decide(&GateInput { is_closed: false, ..late })), "hold");
}

#[test]
fn last_wave_close_judges_task_percentage() {
    let last = GateInput { is_last: true, task_threshold: percent_of(20.0, 50), ..input(4, 4, 1, None) };
    assert_eq!(word(&decide(&last)), "halt");
    let missing = GateInput { earlier_missing: 1, ..last };
    assert_eq!(word(&decide(&missing)), "hold");
}

#[test]
fn a_halt_says_why_in_words_and_numbers() {
    let halt = |input: GateInput| match decide(&input) {
        Verdict::Halt(reason) => reason,
        other => panic!("{other:?}"),
    };
    let count = input(4, 2, 2, Some(Threshold::Count(2)));
    assert_eq!(halt(count), "2 of 4 targets failed: the fail threshold 2 is reached");
    let percent = Threshold::new(None, Some(2.5), Some(10)).ok();
    assert_eq!(
        halt(input(400, 20, 1, percent)),
        "1 of 20 targets failed: the fail threshold 2.5%/10 is reached"
    );
    let task = GateInput {
        earlier: Results { finished: 10, failed: 2 },
        task_threshold: Some(Threshold::Count(3)),
        ..input(5, 2, 1, None)
    };
    assert_eq!(halt(task), "3 of 12 targets of all waves failed: the task's fail threshold 3 is reached");
    let code = GateInput { halting: 1, ..input(5, 1, 1, None) };
    assert_eq!(halt(code), "1 of 5 targets ended with an exit code that halts the rollout");
}

/// Counts outcomes by the default policy.
fn counted(seen: &[Outcome]) -> Results {
    let policy = RolloutPolicy::default();
    let failed = seen.iter().filter(|outcome| policy.weigh(**outcome, None) == Weight::Count).count();
    Results { finished: u32::try_from(seen.len()).unwrap(), failed: u32::try_from(failed).unwrap() }
}

fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
    prop::collection::vec(prop::sample::select(Outcome::ALL.to_vec()), 0..60)
}

proptest! {
    #[test]
    fn halts_exactly_when_failures_reach_the_threshold(seen in outcomes(), threshold in 1u32..20) {
        let Results { finished, failed } = counted(&seen);
        let verdict = decide(&input(60, finished, failed, Some(Threshold::Count(threshold))));
        prop_assert_eq!(matches!(verdict, Verdict::Halt(_)), failed >= threshold);
    }

    #[test]
    fn a_halt_by_count_is_never_taken_back(seen in outcomes(), threshold in 1u32..20) {
        let mut halted = false;
        for end in 0..=seen.len() {
            let Results { finished, failed } = counted(&seen[..end]);
            let verdict = decide(&input(60, finished, failed, Some(Threshold::Count(threshold))));
            let halts = matches!(verdict, Verdict::Halt(_));
            prop_assert!(halts || !halted, "result {} took the halt back", end);
            halted = halts;
        }
    }

    #[test]
    fn never_proceeds_before_every_target_ended(seen in outcomes(), missing in 1u32..5) {
        let Results { finished, failed } = counted(&seen);
        let verdict = decide(&input(finished + missing, finished, failed, None));
        prop_assert!(matches!(verdict, Verdict::Hold(_)), "{verdict:?}");
    }

    #[test]
    fn the_task_sees_the_waves_together(one in outcomes(), two in outcomes(), threshold in 1u32..40) {
        let (earlier, now) = (counted(&one), counted(&two));
        let apart = GateInput {
            earlier,
            task_threshold: Some(Threshold::Count(threshold)),
            ..input(60, now.finished, now.failed, None)
        };
        let halts = matches!(decide(&apart), Verdict::Halt(_));
        prop_assert_eq!(halts, earlier.failed + now.failed >= threshold);
    }
}
