//! The REST adapter: requests in, use cases, answers out. It decides nothing.

#![expect(unused_qualifications, reason = "what the macro that documents a handler expands to")]

mod body;
mod calls;
mod error;
mod gate;
mod names;
mod openapi;
mod query;
mod router;
mod routes;
mod v1;
mod v2;

pub use router::{Options, router};
pub use routes::document;
