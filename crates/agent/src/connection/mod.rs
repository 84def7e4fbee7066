//! The connection to a worker.

mod attached;
mod guard;
mod link;

pub(crate) use attached::clear;
pub use attached::is_attached;
pub(crate) use link::{Link, endpoints};
