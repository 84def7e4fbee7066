//! Every mutant is found, by the name of the invariant that it violates.

use engine::Rule;

use super::*;

/// The invariant that each mutant violates, and a seed that shows it. If the draws change, another
/// one of the tests' seeds must show it, or a new seed be put here: `graywave-sim --mutants` finds
/// one.
const FOUND: [(Mutant, u64, &str); Mutant::ALL.len()] = [
    (Mutant::Rule(Rule::IgnoreHalt), 0, "no next wave after a halt"),
    (Mutant::Rule(Rule::UndeliveredIgnored), 4, "no next wave after a halt"),
    (Mutant::Rule(Rule::ReachedMeansMore), 0, "no next wave after a halt"),
    (Mutant::Rule(Rule::AdmitWhileBlocked), 8, "nothing is admitted while the task is suspended"),
    (Mutant::Rule(Rule::LeaseWhileSuspended), 13, "while the task is suspended no batch is leased"),
    (Mutant::Rule(Rule::ForgetEpochs), 6, "a start happens at most once"),
    (Mutant::Rule(Rule::ForgetAgents), 6, "a start happens at most once"),
    (Mutant::Rule(Rule::SkipSoak), 8, "a wave soaks before the next one opens"),
    (Mutant::Rule(Rule::IgnoreApproval), 0, "a wave that needs approval waits for it"),
    (Mutant::Rule(Rule::OpenWithoutEvidence), 8, "no wave opens on a wave without evidence"),
    (Mutant::Rule(Rule::QuorumOnLastWave), 50, "the last wave waits for all"),
    (Mutant::Rule(Rule::StrictForgetsWaiting), 1, "strict mode: no more than the threshold can fail"),
    (Mutant::Rule(Rule::CountTwice), 0, "a tally is what its records say"),
    (Mutant::Rule(Rule::CloseWithMissing), 0, "a wave is closed while only offline desktops are missing"),
    (Mutant::Rule(Rule::AdmitAfterStop), 19, "nothing is admitted after a halt or a stop"),
    (Mutant::Rule(Rule::IgnoreConcurrency), 3, "no more than max_concurrency are admitted"),
    (Mutant::Rule(Rule::IgnoreProjectLimit), 6, "no more than the project's max_in_flight are admitted"),
    (Mutant::Rule(Rule::NoLateHalt), 137, "no next wave after a halt"),
    (Mutant::Rule(Rule::WithdrawDelivered), 13, "only unordered targets are withdrawn"),
    (Mutant::Rule(Rule::WithdrawNothing), 13, "nothing is handed out after a halt or a stop"),
    (Mutant::Rule(Rule::ForgetDeadlines), 4, "a task always ends"),
    (Mutant::Rule(Rule::FullWorkerLosesTargets), 31, "UNDELIVERED is only what was not connected"),
    (Mutant::Rule(Rule::IgnoreWindow), 18, "nothing starts outside its window"),
    (Mutant::Rule(Rule::UnknownAsUndelivered), 16, "UNDELIVERED is only what certainly never started"),
    (Mutant::Rule(Rule::LastWordWins), 0, "a target ends in exactly one outcome"),
    (Mutant::Rule(Rule::ReleaseIgnoresWindow), 48, "nothing starts outside its window"),
    (Mutant::Rule(Rule::StaleStatus), 1834, "a halt or a stop withdraws unordered targets"),
    (Mutant::Rule(Rule::QuorumUnnoticed), 64, "a wave that is over is closed at once"),
    (
        Mutant::Rule(Rule::FirstComeFirstLeased),
        11,
        "the project that holds the fewest places is served first",
    ),
    (Mutant::Rule(Rule::OutOfServiceWaits), 23, "what waits for a desktop out of service ends at once"),
    (
        Mutant::Rule(Rule::EndWithoutReturn),
        2,
        "a target whose desktop reboots succeeds only after its return",
    ),
    (Mutant::Rule(Rule::ForgetReturnDeadline), 2, "a task always ends"),
    (Mutant::NoJournal, 6, "a start happens at most once"),
    (Mutant::StartAfterExpiry, 66, "nothing starts after expires_at"),
    (Mutant::StartWhenAsked, 34, "nothing starts after a halt"),
    (Mutant::IgnoreMaxRunning, 157, "a desktop runs no more than max_running_per_desktop"),
    (Mutant::RunEarlierScripts, 8, "a retry runs nothing that succeeded"),
    (Mutant::RetryEverything, 0, "a retry runs nothing that succeeded"),
    (Mutant::RetryTwice, 20, "nothing is retried twice"),
    (Mutant::TrustSilence, 6, "a worker that lives is not forgotten because nobody could hear it"),
    (Mutant::KeepPoisonedOutcomes, 18, "a poisoned result ends its target as UNKNOWN"),
    (Mutant::StoreReportsWhole, 11, "a report that reaches a scheduler is stored"),
    (Mutant::KeepRetiredConnected, 22, "nothing is handed out to a desktop out of service"),
];

fn is_found(mutant: Mutant, seed: u64, invariant: &str) -> bool {
    let run = run_scenario(&Scenario::drawn(seed), Some(mutant));
    run.is_err_and(|violation| violation.invariant.starts_with(invariant))
}

#[test]
fn every_mutant_is_found() {
    let is_missed = |(mutant, seed, invariant): &(Mutant, u64, &str)| {
        !std::iter::once(*seed).chain(0..SEEDS).any(|seed| is_found(*mutant, seed, invariant))
    };
    let missed: Vec<_> = FOUND.into_iter().filter(is_missed).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn every_mutant_has_its_invariant() {
    assert_eq!(FOUND.map(|(mutant, _, _)| mutant), Mutant::ALL);
}
