//! Tools for tests and measurements: a seeded simulator of the rules, and a fleet of simulated agents that speak the
//! real protocol.

pub mod chaos;
pub mod failover;
pub mod fleet;
pub mod memory;
pub mod rollout;

/// Tells the person at the terminal what happens.
#[expect(clippy::print_stderr, reason = "a command's progress")]
fn say(text: &str) {
    eprintln!("== {text}");
}
