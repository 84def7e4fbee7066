mod by_hand;
mod sabotages;

use std::sync::OnceLock;

use super::*;

/// Stories that every run of the tests tells.
const STORIES: u64 = 240;

/// What all of them came to; told once, by two threads.
fn told() -> &'static Result<Coverage, String> {
    static TOLD: OnceLock<Result<Coverage, String>> = OnceLock::new();
    TOLD.get_or_init(|| {
        std::thread::scope(|scope| {
            let halves = [0, 1].map(|half| scope.spawn(move || tell_all((half..STORIES).step_by(2))));
            let mut sum = Coverage::default();
            for half in halves {
                sum.merge(&half.join().unwrap()?);
            }
            Ok(sum)
        })
    })
}

fn tell_all(seeds: impl Iterator<Item = u64>) -> Result<Coverage, String> {
    let mut sum = Coverage::default();
    for seed in seeds {
        sum.merge(&run(seed).map_err(|broken| broken.to_string())?.coverage);
    }
    Ok(sum)
}

#[test]
fn every_story_keeps_every_promise_and_ends() {
    if let Err(broken) = told() {
        panic!("{broken}\nSee `cargo xtask sim --seed`.");
    }
}

#[test]
fn everything_happens_in_some_story() {
    if let Ok(coverage) = told() {
        assert_eq!(coverage.missing(), [], "these tests prove nothing of what never happened in them");
    }
}

#[test]
fn what_once_broke_a_promise_keeps_it() {
    tell_all(kept_seeds().into_iter()).unwrap();
}

#[test]
fn a_seed_is_a_story() {
    for seed in 0..8 {
        let (first, again) = (run(seed).unwrap(), run(seed).unwrap());
        assert_eq!(first, again);
        assert_eq!(Scenario::drawn(seed), Scenario::drawn(seed));
        let (told, trace) = tell(seed);
        assert_eq!(told.unwrap(), first, "to be listened to changes nothing");
        assert!(trace.len() as u64 >= first.steps);
    }
    assert_ne!(run(0).unwrap().trace_hash, run(1).unwrap().trace_hash);
}
