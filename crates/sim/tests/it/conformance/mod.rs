//! Random sequences of operations on three tasks of two projects run on rows in memory and on
//! Postgres. After each operation both hold the same rows.

mod follower;
mod log;
mod pair;
mod step;
mod view;

use std::{collections::BTreeSet, ops::Range};

use pair::Pair;

/// Parts of the sequences that run at the same time.
const PARTS: u64 = 5;
const SEEDS_PER_PART: u64 = 10;
/// Operations of a sequence.
const STEPS: u32 = 45;
/// Effects that must happen in some sequence, so that the comparison is not one of idle tasks.
const REACHED: [&str; 10] = [
    "Admitted",
    "Ended",
    "Dispatched",
    "KnownResult",
    "Overdue",
    "Reclaimed",
    "Recorded",
    "Stopped",
    "Verdict",
    "WaveOpened",
];

/// Runs sequences. Returns the names of the effects that happened.
async fn compare(seeds: Range<u64>) -> BTreeSet<String> {
    let mut effects = BTreeSet::new();
    for seed in seeds {
        let mut pair = Pair::new(seed).await;
        for _ in 0..STEPS {
            pair.step().await;
        }
        pair.compare_remainders().await;
        effects.append(&mut pair.effects);
    }
    effects
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_sequences_leave_equal_rows_in_both_stores() {
    let parts =
        (0..PARTS).map(|part| tokio::spawn(compare(part * SEEDS_PER_PART..(part + 1) * SEEDS_PER_PART)));
    let mut effects = BTreeSet::new();
    for part in futures::future::join_all(parts).await {
        effects.append(&mut part.unwrap());
    }
    let missing: Vec<&str> = REACHED.into_iter().filter(|name| !effects.contains(*name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}; happened: {effects:?}");
}
