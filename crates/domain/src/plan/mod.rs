//! The plan of a task, and the requests that define it.

mod assignment;
mod canary;
mod distinct;
mod exit_codes;
mod exposure;
pub mod guard;
pub mod guardrails;
mod request;
mod returns;
pub mod rollout;
pub mod submission;
mod user_name;

pub use assignment::*;
pub use canary::{Canaries, Candidate};
pub use exposure::{Exposure, Uncovered, uncovered, worst_case};
