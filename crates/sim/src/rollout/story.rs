//! Tells a story from its seed to its end, or to the promise that it breaks.

use std::fmt;

use chrono::TimeDelta;
use domain::task::TaskStatus;

use super::{
    clock::beginning, coverage::Coverage, sabotage::Sabotage, scenario::Scenario, trace::Trace, world::World,
};

/// How long a story goes on after its task has ended: whoever comes late must not do anything any more.
const AFTERWARDS: TimeDelta = TimeDelta::seconds(150);

/// How a story ended whose promises were all kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The task.
    pub status: TaskStatus,
    /// Events.
    pub steps: u64,
    /// From the task's acceptance to its end.
    pub lasted: TimeDelta,
    /// Over all that happened: equal stories have equal hashes.
    pub trace_hash: u64,
    /// What happened, by kind.
    pub coverage: Coverage,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The story.
    pub seed: u64,
    /// The event that broke it, from 1.
    pub step: u64,
    /// When, since the beginning.
    pub at: TimeDelta,
    /// Which promise, and how.
    pub promise: String,
    /// The last events.
    pub trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, step {}, {} ms: {}",
            self.seed,
            self.step,
            self.at.num_milliseconds(),
            self.promise
        )?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Broken {}

/// Tells the story of a seed.
pub fn run(seed: u64) -> Result<Ended, Broken> {
    run_scenario(&Scenario::drawn(seed), None)
}

/// Tells the story of a scenario; with sabotage, one rule of it is broken.
pub fn run_scenario(scenario: &Scenario, sabotage: Option<Sabotage>) -> Result<Ended, Broken> {
    play(scenario, sabotage, Trace::new(false)).0
}

/// Tells the story of a seed with its whole trace.
pub fn tell(seed: u64) -> (Result<Ended, Broken>, Vec<String>) {
    play(&Scenario::drawn(seed), None, Trace::new(true))
}

/// The seeds that once broke a promise: they are told again for ever.
pub fn kept_seeds() -> Vec<u64> {
    let lines = include_str!("../../seeds.txt").lines();
    lines.filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect()
}

fn play(
    scenario: &Scenario,
    sabotage: Option<Sabotage>,
    trace: Trace,
) -> (Result<Ended, Broken>, Vec<String>) {
    let seed = scenario.seed;
    let mut world = match World::new(scenario, sabotage, trace) {
        Ok(world) => world,
        Err(error) => {
            let promise = format!("the scenario cannot be planned: {error}");
            let broken = Broken { seed, step: 0, at: TimeDelta::zero(), promise, trace: Vec::new() };
            return (Err(broken), Vec::new());
        }
    };
    let ended = go_on(&mut world).map_err(|(step, promise)| Broken {
        seed,
        step,
        at: world.clock.now - beginning(),
        promise,
        trace: world.trace.last(),
    });
    (ended, world.trace.take_whole())
}

fn go_on(world: &mut World) -> Result<Ended, (u64, String)> {
    let mut ended: Option<TimeDelta> = None;
    let mut step = 0;
    loop {
        step += 1;
        let goes_on = world.step();
        if let Some(broken) = world.promises.broken() {
            return Err((step, broken.to_owned()));
        }
        let now = world.clock.now - beginning();
        if world.promises.has_ended() {
            let lasted = *ended.get_or_insert(now);
            if !goes_on || now > lasted + AFTERWARDS {
                return Ok(Ended {
                    status: world.status(),
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
