//! Random sequences of operations run on rows in memory and on Postgres. After each operation both hold the same rows.

mod log;
mod pair;
mod step;
mod view;

use std::collections::BTreeSet;

use pair::Pair;

/// Operations of a sequence.
const STEPS: u32 = 60;
/// Effects that must happen in the sequences of each test, so that the comparison is not one of idle tasks.
const REACHED: [&str; 10] = [
    "Admitted",
    "Ended",
    "HandedOut",
    "KnownResult",
    "Overdue",
    "Reclaimed",
    "Recorded",
    "Stopped",
    "Verdict",
    "WaveOpened",
];

async fn compare(seeds: impl IntoIterator<Item = u64>) {
    let mut effects = BTreeSet::new();
    for seed in seeds {
        let mut pair = Pair::new(seed).await;
        for _ in 0..STEPS {
            pair.step().await;
        }
        effects.append(&mut pair.effects);
    }
    let missing: Vec<&str> = REACHED.into_iter().filter(|name| !effects.contains(*name)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}; happened: {effects:?}");
}

#[tokio::test]
async fn first_ten_sequences_leave_the_same_rows_in_both_stores() {
    compare(0..10).await;
}

#[tokio::test]
async fn second_ten_sequences_leave_the_same_rows_in_both_stores() {
    compare(10..20).await;
}

#[tokio::test]
async fn third_ten_sequences_leave_the_same_rows_in_both_stores() {
    compare(20..30).await;
}

#[tokio::test]
async fn fourth_ten_sequences_leave_the_same_rows_in_both_stores() {
    compare(30..40).await;
}

#[tokio::test]
async fn fifth_ten_sequences_leave_the_same_rows_in_both_stores() {
    compare(40..50).await;
}
