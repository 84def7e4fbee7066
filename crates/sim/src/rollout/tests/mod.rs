mod by_hand;
mod mutants;

use std::sync::OnceLock;

use super::*;

/// Number of seeds that every run of the tests simulates.
const SEEDS: u64 = 160;

/// The coverage of all seeds; simulated once, by two threads.
fn coverage() -> &'static Result<Coverage, String> {
    static COVERAGE: OnceLock<Result<Coverage, String>> = OnceLock::new();
    COVERAGE.get_or_init(|| {
        std::thread::scope(|scope| {
            let halves = [0, 1].map(|half| scope.spawn(move || run_all((half..SEEDS).step_by(2))));
            let mut sum = Coverage::default();
            for half in halves {
                sum.merge(&half.join().unwrap()?);
            }
            Ok(sum)
        })
    })
}

fn run_all(seeds: impl Iterator<Item = u64>) -> Result<Coverage, String> {
    let mut sum = Coverage::default();
    for seed in seeds {
        sum.merge(&run(seed).map_err(|violation| violation.to_string())?.coverage);
    }
    Ok(sum)
}

#[test]
fn every_seed_keeps_every_invariant_and_ends() {
    if let Err(violation) = coverage() {
        panic!("{violation}\nSee `cargo xtask sim --seed`.");
    }
}

#[test]
fn every_feature_is_reached() {
    if let Ok(coverage) = coverage() {
        assert_eq!(
            coverage.missing(),
            [],
            "these tests prove nothing of a feature that none of them reaches"
        );
    }
}

#[test]
fn kept_seeds_keep_every_invariant() {
    run_all(kept_seeds().into_iter()).unwrap();
}

#[test]
fn equal_seeds_run_equal_simulations() {
    for seed in 0..8 {
        let (first, again) = (run(seed).unwrap(), run(seed).unwrap());
        assert_eq!(first, again);
        assert_eq!(Scenario::drawn(seed), Scenario::drawn(seed));
        let (summary, trace) = run_traced(seed);
        assert_eq!(summary.unwrap(), first, "a trace changes nothing");
        assert!(trace.len() as u64 >= first.steps);
    }
    assert_ne!(run(0).unwrap().trace_hash, run(1).unwrap().trace_hash);
}
