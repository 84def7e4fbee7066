//! Outcomes of scripts and targets, their output, and fingerprints of failures.

pub mod exit_code;
pub mod fingerprint;
mod kind;
pub mod output;
pub mod tally;
mod telling_lines;

pub use kind::*;
