//! Middleware of every request.

mod auth;
mod justification;

pub(crate) use auth::{Gate, check};
