//! The rows of the rollout engine in memory: what crate `store` keeps in Postgres, without SQL and without rules.
//!
//! The conditions on single rows are the engine's own, so that a rule exists once. Every future is ready at once.

use std::convert::Infallible;

mod apply;
mod fleet;
mod lease;
mod read;
mod store;

pub use store::{Batch, MemoryStore, NewTask, TaskTable};

/// The result of an operation that cannot fail.
type Always<T> = Result<T, Infallible>;
