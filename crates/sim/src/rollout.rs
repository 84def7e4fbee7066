//! A seeded simulator of whole rollouts: crate `engine` in a virtual world with schedulers, workers, agents and people in
//! it, and the promises of the design checked after every event.
//!
//! A seed is a story: it decides the scenario, and then everything that happens in it. There is no other clock and no
//! other source of chance, so a story that breaks a promise can be told again, event by event.

mod agent;
mod clock;
mod coverage;
mod dice;
mod effect;
mod event;
mod faults;
mod link;
mod observe;
mod people;
mod promises;
mod rows;
mod sabotage;
mod scenario;
mod scheduler;
mod state;
mod story;
#[cfg(test)]
mod tests;
mod trace;
mod transaction;
mod worker;
mod world;

pub use coverage::{Coverage, Feature};
pub use sabotage::Sabotage;
pub use scenario::{Faults, Fleet, Kinds, People, Plant, Scenario, Waves};
pub use story::{Broken, Ended, kept_seeds, run, run_scenario, tell};
