//! A seeded simulator of whole rollouts: crate `engine` in a virtual world with schedulers,
//! workers, agents and operators. The invariants of the design are checked after every event.
//!
//! A seed decides the scenario and everything that happens in it. There is no other clock and no
//! other source of randomness, so that a simulation that violates an invariant can be run again,
//! event by event.

mod agent;
mod clock;
mod coverage;
mod effect;
mod event;
mod fairness;
mod faults;
mod invariants;
mod link;
mod mutant;
mod observe;
mod operators;
mod poison;
mod results;
mod rng;
mod rows;
mod scenario;
mod scheduler;
mod shared;
mod simulation;
mod state;
#[cfg(test)]
mod tests;
mod trace;
mod transaction;
mod worker;
mod world;
mod zone;

pub use coverage::{Coverage, Feature};
pub use mutant::Mutant;
pub use scenario::{
    ClusterConfig, Departure, Faults, Fleet, Kinds, Operators, Outage, ProjectSpec, Retries, Scenario,
    TaskSpec, Waves,
};
pub use simulation::{Summary, Violation, kept_seeds, run, run_scenario, run_traced};
