//! Rollouts: the operations of crate `engine` in transactions of their own, one for each task.

mod admit;
mod budget;
mod lease;
mod reap;
mod report;
mod stops;

/// The operations of the engine.
const ENGINE: engine::Engine = engine::Engine::new();

pub use lease::Leased;
pub use report::{ReportAnswer, ReturnedTarget, TargetReport};
