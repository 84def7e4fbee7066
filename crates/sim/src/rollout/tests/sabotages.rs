//! Each rule that is broken on purpose is noticed, and called by the name of the promise that it breaks.

use engine::Rule;

use super::*;

/// What each sabotage breaks, and a seed that shows it. When the stories of the seeds have become others, another one of
/// the tests' seeds must show it, or a new seed be put here (those that nobody broke on purpose take some thousands to come
/// across).
const CAUGHT: [(Sabotage, u64, &str); Sabotage::ALL.len()] = [
    (Sabotage::Rule(Rule::IgnoreHalt), 0, "no next wave after a halt"),
    (Sabotage::Rule(Rule::UndeliveredIgnored), 20, "no next wave after a halt"),
    (Sabotage::Rule(Rule::ReachedMeansMore), 1, "no next wave after a halt"),
    (Sabotage::Rule(Rule::AdmitWhileBlocked), 0, "nothing is admitted while the task is held"),
    (Sabotage::Rule(Rule::LeaseWhileSuspended), 11, "while the task is held no batch is leased"),
    (Sabotage::Rule(Rule::ForgetEpochs), 8, "UNDELIVERED is only what certainly never started"),
    (Sabotage::Rule(Rule::ForgetAgents), 61, "a start happens at most once"),
    (Sabotage::Rule(Rule::SkipSoak), 10, "a wave soaks before the next one opens"),
    (Sabotage::Rule(Rule::IgnoreApproval), 0, "a wave that needs approval waits for it"),
    (Sabotage::Rule(Rule::QuorumOnLastWave), 15, "the last wave waits for all"),
    (Sabotage::Rule(Rule::StrictForgetsWaiting), 1, "strict mode: no more than the threshold can fail"),
    (Sabotage::Rule(Rule::CountTwice), 0, "a tally is what its records say"),
    (Sabotage::Rule(Rule::CloseWithMissing), 1, "a wave is closed when all but those that are away are in"),
    (Sabotage::Rule(Rule::AdmitAfterStop), 10, "nothing is admitted after a halt or a stop"),
    (Sabotage::Rule(Rule::IgnoreConcurrency), 6, "no more than max_concurrency are admitted"),
    (Sabotage::Rule(Rule::NoLateHalt), 90, "no next wave after a halt"),
    (Sabotage::Rule(Rule::WithdrawDelivered), 38, "only what nobody was told of is withdrawn"),
    (Sabotage::Rule(Rule::WithdrawNothing), 115, "nothing is handed out after a halt or a stop"),
    (Sabotage::Rule(Rule::ForgetDeadlines), 15, "a task always ends"),
    (Sabotage::Rule(Rule::IgnoreWindow), 12, "nothing starts outside its window"),
    (Sabotage::Rule(Rule::UnknownAsUndelivered), 25, "UNDELIVERED is only what certainly never started"),
    (Sabotage::Rule(Rule::LastWordWins), 0, "a target ends in exactly one outcome"),
    (Sabotage::Rule(Rule::ReleaseIgnoresWindow), 133, "nothing starts outside its window"),
    (Sabotage::Rule(Rule::StaleStatus), 3865, "a halt or a stop withdraws what nobody was told of"),
    (Sabotage::Rule(Rule::QuorumUnnoticed), 386, "a wave that is over is closed at once"),
    (Sabotage::NoJournal, 26, "a start happens at most once"),
    (Sabotage::StartAfterExpiry, 28, "nothing starts after expires_at"),
    (Sabotage::StartWhenAsked, 93, "nothing starts after a halt"),
];

fn is_caught(sabotage: Sabotage, seed: u64, promise: &str) -> bool {
    let told = run_scenario(&Scenario::drawn(seed), Some(sabotage));
    told.is_err_and(|broken| broken.promise.starts_with(promise))
}

#[test]
fn every_sabotage_is_caught() {
    for (sabotage, seed, promise) in CAUGHT {
        let is_caught = std::iter::once(seed).chain(0..STORIES).any(|it| is_caught(sabotage, it, promise));
        assert!(is_caught, "nobody noticed {sabotage:?}: {promise}");
    }
}

#[test]
fn every_sabotage_is_tried() {
    assert_eq!(CAUGHT.map(|(sabotage, _, _)| sabotage), Sabotage::ALL);
}
