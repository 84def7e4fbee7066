//! The simulator by itself: tells many stories and says which of them break a promise.

use std::{process::ExitCode, sync::Mutex, time::Instant};

use clap::Parser;
use sim::rollout::{Coverage, Feature, run, tell};

/// Tells seeded stories of whole rollouts and looks after the promises in each.
#[derive(Debug, Parser)]
struct Arguments {
    /// Stories
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, with every event on standard output
    #[arg(long)]
    seed: Option<u64>,
    /// Stories told at once
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

/// What all stories came to.
#[derive(Debug, Default)]
struct Sum {
    told: u64,
    steps: u64,
    coverage: Coverage,
    broken: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_good = match arguments.seed {
        Some(seed) => one(seed),
        None => many(&arguments),
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's result")]
fn one(seed: u64) -> bool {
    let (ended, trace) = tell(seed);
    for line in trace {
        println!("{line}");
    }
    match ended {
        Ok(ended) => {
            eprintln!("seed {seed}: {} after {} events, {}", ended.status, ended.steps, ended.lasted);
            true
        }
        Err(broken) => {
            eprintln!("{broken}");
            false
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program's result")]
fn many(arguments: &Arguments) -> bool {
    let begun = Instant::now();
    let sum = Mutex::new(Sum::default());
    let threads = u64::from(arguments.threads.max(1));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let sum = &sum;
            scope.spawn(move || {
                let mine = (arguments.from..arguments.from.saturating_add(arguments.seeds))
                    .skip(usize::try_from(thread).unwrap_or_default());
                for seed in mine.step_by(usize::try_from(threads).unwrap_or(1)) {
                    note(sum, seed, arguments.seeds);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    eprintln!("{} stories, {} events, {:.1} s", sum.told, sum.steps, begun.elapsed().as_secs_f32());
    for feature in Feature::ALL {
        eprintln!("  {:<20} {}", format!("{feature:?}"), sum.coverage.of(feature));
    }
    sum.broken.iter().for_each(|broken| eprintln!("{broken}"));
    eprintln!("{} of {} stories break a promise", sum.broken.len(), sum.told);
    sum.broken.is_empty()
}

/// Tells one story and adds what it came to.
#[expect(clippy::print_stderr, reason = "a program's progress")]
fn note(sum: &Mutex<Sum>, seed: u64, of: u64) {
    let ended = run(seed);
    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    sum.told += 1;
    match ended {
        Ok(ended) => {
            sum.steps += ended.steps;
            sum.coverage.merge(&ended.coverage);
        }
        Err(broken) => sum.broken.push(broken.to_string()),
    }
    if sum.told.is_multiple_of(1_000) {
        eprintln!("{} of {of} stories, {} broken", sum.told, sum.broken.len());
    }
}
