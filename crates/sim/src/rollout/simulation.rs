//! Runs a simulation from its seed to its end, or to the first violation of an invariant.

use std::fmt;

use chrono::TimeDelta;
use domain::task::TaskStatus;

use super::{
    clock::beginning, coverage::Coverage, mutant::Mutant, scenario::Scenario, trace::Trace, world::World,
};

/// Time for which a simulation goes on after its tasks have ended: a late message must not start
/// anything.
const AFTERWARDS: TimeDelta = TimeDelta::seconds(150);

/// The result of a simulation without a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Status of the first task.
    pub status: TaskStatus,
    /// Number of tasks, with retries.
    pub tasks: u64,
    /// Number of events.
    pub steps: u64,
    /// Time from the beginning to the end of the last task.
    pub lasted: TimeDelta,
    /// Hash over all events and effects: equal simulations have equal hashes.
    pub trace_hash: u64,
    /// Features that the simulation reached.
    pub coverage: Coverage,
}

/// A violation of an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Seed of the simulation.
    pub seed: u64,
    /// Number of the event, from 1.
    pub step: u64,
    /// Time of the event after the beginning.
    pub at: TimeDelta,
    /// The invariant, and how it is violated.
    pub invariant: String,
    /// The last events and effects.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, step, at, invariant, trace } = self;
        writeln!(f, "seed {seed}, step {step}, {} ms: {invariant}", at.num_milliseconds())?;
        trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Violation {}

/// Runs the simulation of a seed.
pub fn run(seed: u64) -> Result<Summary, Violation> {
    run_scenario(&Scenario::drawn(seed), None)
}

/// Runs the simulation of a scenario; with a mutant, one rule of it is broken.
pub fn run_scenario(scenario: &Scenario, mutant: Option<Mutant>) -> Result<Summary, Violation> {
    simulate(scenario, mutant, Trace::new(false)).0
}

/// Runs the simulation of a seed, and returns its whole trace.
pub fn run_traced(seed: u64) -> (Result<Summary, Violation>, Vec<String>) {
    simulate(&Scenario::drawn(seed), None, Trace::new(true))
}

/// Seeds that once violated an invariant. A test runs them for ever.
pub fn kept_seeds() -> Vec<u64> {
    let lines = include_str!("../../seeds.txt").lines();
    lines.filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect()
}

fn simulate(
    scenario: &Scenario,
    mutant: Option<Mutant>,
    trace: Trace,
) -> (Result<Summary, Violation>, Vec<String>) {
    let seed = scenario.seed;
    let mut world = match World::new(scenario, mutant, trace) {
        Ok(world) => world,
        Err(error) => {
            let invariant = format!("the scenario cannot be planned: {error}");
            let violation = Violation { seed, step: 0, at: TimeDelta::zero(), invariant, trace: Vec::new() };
            return (Err(violation), Vec::new());
        }
    };
    let ended = run_to_end(&mut world).map_err(|(step, invariant)| Violation {
        seed,
        step,
        at: world.clock.now - beginning(),
        invariant,
        trace: world.trace.last(),
    });
    (ended, world.trace.take_whole())
}

fn run_to_end(world: &mut World) -> Result<Summary, (u64, String)> {
    let mut ended: Option<TimeDelta> = None;
    let mut step = 0;
    loop {
        step += 1;
        let goes_on = world.step();
        if let Some(violation) = world.violation() {
            return Err((step, violation));
        }
        let now = world.clock.now - beginning();
        if world.has_ended() {
            let lasted = *ended.get_or_insert(now);
            if !goes_on || now > lasted + AFTERWARDS {
                return Ok(Summary {
                    status: world.status(),
                    tasks: world.tasks.len() as u64,
                    steps: step,
                    lasted,
                    trace_hash: world.trace.hash(),
                    coverage: world.coverage.clone(),
                });
            }
        } else if !goes_on || now > world.latest_end() {
            return Err((step, "a task always ends: it does not".to_owned()));
        }
    }
}
