//! Waves: when they open, what the gate says, and what follows from a result.

pub mod gate;
pub mod policy;
mod state;
pub mod wave_start;

pub use state::*;
