//! Outcomes of scripts and targets, and fingerprints of failures.

pub mod fingerprint;
mod kind;
pub mod tally;

pub use kind::*;
