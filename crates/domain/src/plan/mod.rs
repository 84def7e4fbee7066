//! The plan of a task, and the requests that define it.

mod assignment;
pub mod rollout;
pub mod submission;

pub use assignment::*;
