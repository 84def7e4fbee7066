//! Waves: start conditions, the gate, and the steps that follow from results.

pub mod evidence;
pub mod gate;
pub mod margin;
pub mod policy;
pub mod return_policy;
mod state;
pub mod wave_start;

pub use state::*;
