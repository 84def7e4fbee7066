//! Outcomes of scripts and targets, and what is alike in failures.

pub mod failure;
mod kind;
pub mod tally;

pub use kind::*;
