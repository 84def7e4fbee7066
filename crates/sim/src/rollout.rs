//! A seeded simulator of whole rollouts: the rules of `domain` in a virtual world with schedulers, workers, agents and
//! people in it, and the promises of the design looked at after every event.
//!
//! A seed is a story: it decides the scenario, and then everything that happens in it. There is no other clock and no
//! other source of chance, so a story that breaks a promise can be told again, event by event.

mod agent;
mod clock;
mod coverage;
mod database;
mod dice;
mod effect;
mod engine;
mod event;
mod faults;
mod link;
mod people;
mod promises;
mod sabotage;
mod scenario;
mod story;
#[cfg(test)]
mod tests;
mod trace;
mod worker;
mod world;

pub use coverage::{Coverage, Feature};
pub use sabotage::Sabotage;
pub use scenario::{Faults, Fleet, Kinds, People, Plant, Scenario, Waves};
pub use story::{Broken, Ended, kept_seeds, run, run_scenario, tell};
