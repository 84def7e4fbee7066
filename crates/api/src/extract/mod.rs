//! Extractors of handlers.

mod authorized;
mod body;
pub(crate) mod query;

pub(crate) use authorized::Authorized;
pub(crate) use body::{Body, JsonText, OptionalBody};
pub(crate) use query::{Parameters, TaskType};
