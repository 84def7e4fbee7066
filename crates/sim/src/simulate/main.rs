//! The simulator as a program: runs many seeds, and prints those that violate an invariant.

use std::{collections::BTreeMap, process::ExitCode, sync::Mutex, time::Instant};

use clap::Parser;
use sim::rollout::{Coverage, Feature, Mutant, Scenario, run, run_scenario, run_traced};

/// Simulate whole rollouts from seeds, and check every invariant after each event.
///
/// The exit code is 1 if a simulation violates an invariant. Example: graywave-sim --seeds 3000
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of seeds to simulate
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// First seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Simulate only this seed, and print every event to standard output
    #[arg(long)]
    seed: Option<u64>,
    /// Print the first seeds that find each mutant, by invariant; with NAME, only of mutants whose
    /// name contains it
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", conflicts_with = "seed")]
    mutants: Option<String>,
    /// Number of simulations that run at the same time
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

/// Sums over all simulations.
#[derive(Debug, Default)]
struct Sum {
    simulations: u64,
    tasks: u64,
    steps: u64,
    coverage: Coverage,
    violations: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_good = match arguments.seed {
        Some(seed) => run_one(seed),
        None => match &arguments.mutants {
            Some(name) => find_mutants(&arguments, name),
            None => run_many(&arguments),
        },
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's result")]
fn run_one(seed: u64) -> bool {
    let (summary, trace) = run_traced(seed);
    for line in trace {
        println!("{line}");
    }
    match summary {
        Ok(it) => {
            eprintln!("seed {seed}: {} after {} events, {}", it.status, it.steps, it.lasted);
            true
        }
        Err(violation) => {
            eprintln!("{violation}");
            false
        }
    }
}

/// Number of violations that a search for a mutant prints.
const VIOLATIONS_PER_MUTANT: usize = 10;

/// Returns whether every mutant is found.
#[expect(clippy::print_stdout, reason = "a program's result")]
fn find_mutants(arguments: &Arguments, name: &str) -> bool {
    let find = |mutant: Mutant| {
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
        let violations = seeds.filter_map(|seed| run_scenario(&Scenario::drawn(seed), Some(mutant)).err());
        for violation in violations.take(VIOLATIONS_PER_MUTANT) {
            let invariant = violation.invariant.split(": ").next().unwrap_or_default().to_owned();
            found.entry(invariant).or_insert(violation.seed);
        }
        println!("{mutant:?}: {found:?}");
        !found.is_empty()
    };
    let is_named = |mutant: &Mutant| format!("{mutant:?}").contains(name);
    let mutants: Vec<Mutant> = Mutant::ALL.into_iter().filter(is_named).collect();
    let (one, other) = mutants.split_at(mutants.len() / 2);
    let find_all = |mutants: &[Mutant]| mutants.iter().filter(|mutant| !find(**mutant)).count() == 0;
    std::thread::scope(|scope| {
        let half = scope.spawn(|| find_all(other));
        find_all(one) & half.join().unwrap_or(false)
    })
}

#[expect(clippy::print_stderr, reason = "a program's result")]
fn run_many(arguments: &Arguments) -> bool {
    let began = Instant::now();
    let sum = Mutex::new(Sum::default());
    let threads = u64::from(arguments.threads.max(1));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let sum = &sum;
            scope.spawn(move || {
                let mine = (arguments.from..arguments.from.saturating_add(arguments.seeds))
                    .skip(usize::try_from(thread).unwrap_or_default());
                for seed in mine.step_by(usize::try_from(threads).unwrap_or(1)) {
                    add(sum, seed, arguments.seeds);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    let Sum { simulations, tasks, steps, coverage, violations } = sum;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_minute = simulations as f64 * 60.0 / seconds;
    eprintln!(
        "{simulations} simulations of {tasks} tasks, {steps} events, {seconds:.1} s, {per_minute:.0} a minute"
    );
    for feature in Feature::ALL {
        eprintln!("  {:<20} {}", format!("{feature:?}"), coverage.of(feature));
    }
    violations.iter().for_each(|violation| eprintln!("{violation}"));
    eprintln!("{} of {simulations} simulations violate an invariant", violations.len());
    violations.is_empty()
}

/// Simulates one seed and adds its result.
#[expect(clippy::print_stderr, reason = "a program's progress")]
fn add(sum: &Mutex<Sum>, seed: u64, of: u64) {
    let result = run(seed);
    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    sum.simulations += 1;
    match result {
        Ok(summary) => {
            sum.tasks += summary.tasks;
            sum.steps += summary.steps;
            sum.coverage.merge(&summary.coverage);
        }
        Err(violation) => sum.violations.push(violation.to_string()),
    }
    if sum.simulations.is_multiple_of(1_000) {
        eprintln!("{} of {of} simulations, {} violations", sum.simulations, sum.violations.len());
    }
}
