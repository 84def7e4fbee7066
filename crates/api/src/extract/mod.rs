//! Parts of a request, as handlers take them.

mod authorized;
mod body;
pub(crate) mod query;

pub(crate) use authorized::Authorized;
pub(crate) use body::{Body, JsonText, OptionalBody};
pub(crate) use query::{Parameters, TaskType};
