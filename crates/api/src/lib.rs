//! REST adapter: parses requests, calls the use cases of crate `control`, and writes responses. It
//! makes no decisions.

#![expect(unused_qualifications, reason = "what the macro that documents a handler expands to")]

mod console;
mod dto;
mod error;
mod extract;
mod install;
mod middleware;
mod names;
mod openapi;
mod operations;
mod router;
mod routes;
mod v1;
mod v2;

pub use console::{ConsoleOptions, IdentityProvider};
pub use install::{GivenScriptSettings, InstallOptions, ScriptSettings};
pub use router::{Options, router};
pub use routes::document;
