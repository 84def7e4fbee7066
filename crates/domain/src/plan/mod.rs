//! The plan of a task, and the requests that it is made of.

mod assignment;
pub mod rollout;
pub mod submission;

pub use assignment::*;
