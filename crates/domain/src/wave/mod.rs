//! Waves: when they open, what the gate says, and what follows from a result.

pub mod gate;
pub mod opening;
pub mod policy;
mod state;

pub use state::*;
