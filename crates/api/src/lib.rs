//! The REST adapter: requests in, use cases, answers out. It decides nothing.

mod auth;
mod body;
mod error;
mod query;
mod router;
mod v2;

pub use router::{Options, router};
