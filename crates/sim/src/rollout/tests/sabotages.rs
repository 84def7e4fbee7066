//! Each rule that is broken on purpose is noticed, and called by the name of the promise that it breaks.

use super::*;

/// What each sabotage breaks, and a seed that shows it. When the stories of the seeds have become others, another one of
/// the tests' seeds must.
const CAUGHT: [(Sabotage, u64, &str); Sabotage::ALL.len()] = [
    (Sabotage::IgnoreHalt, 0, "no next wave after a halt"),
    (Sabotage::UndeliveredIgnored, 10, "no next wave after a halt"),
    (Sabotage::ReachedMeansMore, 0, "no next wave after a halt"),
    (Sabotage::AdmitWhileHeld, 6, "nothing is admitted while the task is held"),
    (Sabotage::LeaseWhileHeld, 1, "while the task is held no batch is leased"),
    (Sabotage::ForgetEpochs, 24, "UNDELIVERED is only what certainly never started"),
    (Sabotage::NoJournal, 6, "a start happens at most once"),
    (Sabotage::SkipSoak, 6, "a wave soaks before the next one opens"),
    (Sabotage::IgnoreApproval, 0, "a wave that needs approval waits for it"),
    (Sabotage::QuorumOnLastWave, 2, "the last wave waits for all"),
    (Sabotage::StrictForgetsWaiting, 15, "strict mode: no more than the threshold can fail"),
    (Sabotage::CountTwice, 1, "a tally is what its records say"),
    (Sabotage::CloseWithMissing, 0, "a wave is closed when all but those that are away are in"),
    (Sabotage::AdmitAfterStop, 15, "nothing is admitted after a halt or a stop"),
    (Sabotage::IgnoreConcurrency, 0, "no more than max_concurrency are admitted"),
    (Sabotage::NoLateHalt, 140, "no next wave after a halt"),
    (Sabotage::StartAfterExpiry, 38, "nothing starts after expires_at"),
    (Sabotage::WithdrawHanded, 4, "only what nobody was told of is withdrawn"),
    (Sabotage::WithdrawNothing, 4, "nothing is handed out after a halt or a stop"),
    (Sabotage::StartWhenAsked, 4, "nothing starts after a halt"),
    (Sabotage::ForgetDeadlines, 1, "a task always ends"),
    (Sabotage::IgnoreWindow, 1, "nothing starts outside its window"),
    (Sabotage::UnknownAsUndelivered, 24, "UNDELIVERED is only what certainly never started"),
    (Sabotage::LastWordWins, 1, "a target ends in exactly one outcome"),
    (Sabotage::ReleaseIgnoresWindow, 1, "nothing starts outside its window"),
    (Sabotage::StaleStatus, 0, "a halt or a stop withdraws what nobody was told of"),
    (Sabotage::QuorumUnnoticed, 58, "a wave that is over is closed at once"),
];

fn is_caught(sabotage: Sabotage, seed: u64, promise: &str) -> bool {
    let told = run_scenario(&Scenario::drawn(seed), Some(sabotage));
    told.is_err_and(|broken| broken.promise.starts_with(promise))
}

#[test]
fn every_sabotage_is_caught() {
    for (sabotage, seed, promise) in CAUGHT {
        let caught = std::iter::once(seed).chain(0..STORIES).find(|&it| is_caught(sabotage, it, promise));
        assert!(caught.is_some(), "nobody noticed {sabotage:?}: {promise}");
        println!("{sabotage:?}: seed {}", caught.unwrap());
    }
}

#[test]
fn every_sabotage_is_tried() {
    assert_eq!(CAUGHT.map(|(sabotage, _, _)| sabotage), Sabotage::ALL);
}
