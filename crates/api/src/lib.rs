//! The REST adapter: requests in, use cases, answers out. It decides nothing.

#![expect(unused_qualifications, reason = "what the macro that documents a handler expands to")]

mod dto;
mod error;
mod extract;
mod middleware;
mod names;
mod openapi;
mod operations;
mod router;
mod routes;
mod v1;
mod v2;

pub use router::{Options, router};
pub use routes::document;
