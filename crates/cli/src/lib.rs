//! The operator's verbs over admin gRPC.

mod changes;
mod complete;
mod connect;
mod ended;
mod failure;
mod flags;
mod follow;
mod found;
mod harmless;
mod out;
mod screen;
mod spec;
mod task_argument;
mod told;
mod verbs;

pub use ended::Ended;
pub use failure::Failure;
pub use verbs::Verb;
