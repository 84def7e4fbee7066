//! The gate: reads a wave's tally and says proceed, hold or halt.

use crate::tally::Tally;

/// What the gate knows of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateInput {
    /// Targets of the wave.
    pub size: u32,
    /// The wave's targets by outcome.
    pub tally: Tally,
    /// Failures at which the rollout halts; `None` when nothing was asked for.
    pub fail_threshold: Option<u32>,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The wave is over and good enough: the next one may open.
    Proceed(String),
    /// The wave still runs and its failures are below the threshold.
    Hold,
    /// Failures reached the threshold: nothing of a later wave may start, ever.
    Halt(String),
}

/// The rule. Reached means `>=`. A halt is said as soon as it is certain, not when the wave is over; and it wins
/// over a proceed, so the last target of a wave cannot open the next one with the failure that crosses the line.
pub fn decide(input: &GateInput) -> Verdict {
    let failed = input.tally.failed();
    let finished = input.tally.finished();
    if let Some(threshold) = input.fail_threshold
        && failed >= threshold
    {
        return Verdict::Halt(format!(
            "{failed} of {} targets failed: the fail threshold {threshold} is reached",
            input.size
        ));
    }
    if finished < input.size {
        return Verdict::Hold;
    }
    Verdict::Proceed(match input.fail_threshold {
        Some(threshold) => {
            format!("{failed} of {} targets failed, below the fail threshold {threshold}", input.size)
        }
        None => format!("{failed} of {} targets failed, no fail threshold is set", input.size),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Outcome;

    fn input(size: u32, outcomes: &[(Outcome, u32)], fail_threshold: Option<u32>) -> GateInput {
        let mut tally = Tally::default();
        for &(outcome, count) in outcomes {
            tally.add_many(outcome, count);
        }
        GateInput { size, tally, fail_threshold }
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Proceed(_) => "proceed",
            Verdict::Hold => "hold",
            Verdict::Halt(_) => "halt",
        }
    }

    /// Size, outcomes so far, threshold, the verdict's word.
    type GateCase = (u32, &'static [(Outcome, u32)], Option<u32>, &'static str);

    #[test]
    fn the_table() {
        use Outcome::{Failed, Rejected, Skipped, Stopped, Success, Timeout, Undelivered, Unknown};
        let table: &[GateCase] = &[
            (4, &[], Some(2), "hold"),
            (4, &[(Success, 4)], Some(2), "proceed"),
            (4, &[(Success, 3), (Failed, 1)], Some(2), "proceed"),
            (4, &[(Success, 2), (Failed, 2)], Some(2), "halt"),
            (4, &[(Success, 1), (Failed, 3)], Some(2), "halt"),
            // Before the wave is over.
            (4, &[(Failed, 1)], Some(2), "hold"),
            (4, &[(Failed, 2)], Some(2), "halt"),
            // Every outcome that counts, alone.
            (4, &[(Failed, 1)], Some(1), "halt"),
            (4, &[(Timeout, 1)], Some(1), "halt"),
            (4, &[(Undelivered, 1)], Some(1), "halt"),
            (4, &[(Rejected, 1)], Some(1), "halt"),
            (4, &[(Unknown, 1)], Some(1), "halt"),
            // Different failures add up.
            (4, &[(Timeout, 1), (Unknown, 1)], Some(2), "halt"),
            // What does not count.
            (4, &[(Stopped, 4)], Some(1), "proceed"),
            (4, &[(Skipped, 4)], Some(1), "proceed"),
            (4, &[(Success, 3)], Some(1), "hold"),
            // No threshold: everything may fail.
            (4, &[(Failed, 3)], None, "hold"),
            (4, &[(Failed, 4)], None, "proceed"),
        ];
        for (size, outcomes, threshold, expected) in table {
            let verdict = decide(&input(*size, outcomes, *threshold));
            assert_eq!(
                word(&verdict),
                *expected,
                "size {size}, {outcomes:?}, threshold {threshold:?}: {verdict:?}"
            );
        }
    }

    #[test]
    fn a_halt_says_why_in_words_and_numbers() {
        let verdict = decide(&input(4, &[(Outcome::Failed, 2)], Some(2)));
        assert_eq!(verdict, Verdict::Halt("2 of 4 targets failed: the fail threshold 2 is reached".into()));
    }

    fn outcomes() -> impl Strategy<Value = Vec<Outcome>> {
        prop::collection::vec(prop::sample::select(Outcome::ALL.to_vec()), 0..60)
    }

    proptest! {
        #[test]
        fn halts_exactly_when_failures_reach_the_threshold(seen in outcomes(), threshold in 1u32..20) {
            let tally: Tally = seen.iter().copied().collect();
            let failed = u32::try_from(seen.iter().filter(|outcome| outcome.counts_as_failure()).count()).unwrap();
            let verdict = decide(&GateInput { size: 60, tally, fail_threshold: Some(threshold) });
            prop_assert_eq!(matches!(verdict, Verdict::Halt(_)), failed >= threshold);
        }

        #[test]
        fn a_halt_is_never_taken_back(seen in outcomes(), threshold in 1u32..20) {
            let mut tally = Tally::default();
            let mut halted = false;
            for outcome in seen {
                tally.add(outcome);
                let halts = matches!(decide(&GateInput { size: 60, tally, fail_threshold: Some(threshold) }), Verdict::Halt(_));
                prop_assert!(halts || !halted, "another {} took the halt back", outcome);
                halted = halts;
            }
        }

        #[test]
        fn the_order_of_results_does_not_matter(seen in outcomes(), threshold in prop::option::of(1u32..20)) {
            let forward: Tally = seen.iter().copied().collect();
            let backward: Tally = seen.iter().rev().copied().collect();
            let size = u32::try_from(seen.len()).unwrap();
            prop_assert_eq!(
                decide(&GateInput { size, tally: forward, fail_threshold: threshold }),
                decide(&GateInput { size, tally: backward, fail_threshold: threshold })
            );
        }

        #[test]
        fn never_proceeds_before_every_target_ended(seen in outcomes(), missing in 1u32..5) {
            let tally: Tally = seen.iter().copied().collect();
            let size = tally.finished() + missing;
            let verdict = decide(&GateInput { size, tally, fail_threshold: None });
            prop_assert_eq!(verdict, Verdict::Hold);
        }
    }
}
