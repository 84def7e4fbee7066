//! Tools for tests and measurements: a seeded simulator of the rules, and a fleet of simulated agents that speak the
//! real protocol.

pub mod fleet;
pub mod processes;
pub mod rollout;
