//! Outcomes of scripts and targets, and what is alike in failures.

pub mod fingerprint;
mod kind;
pub mod tally;

pub use kind::*;
