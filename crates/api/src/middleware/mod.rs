//! Middleware of every request.

mod auth;

pub(crate) use auth::{Gate, check};
