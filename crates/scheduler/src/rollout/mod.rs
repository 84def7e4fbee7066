//! Rollouts: operations of the crate `engine`, each in its own transaction per task.

mod admit;
mod budget;
mod isolate;
mod lease;
mod reap;
mod report;
mod stops;

/// Engine whose operations run in these transactions.
const ENGINE: engine::Engine = engine::Engine::new();

pub(crate) use isolate::of_one_task;
pub use report::{ReportAnswer, ReturnedTarget, TargetReport};
