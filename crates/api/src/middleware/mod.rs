//! What every call passes before and after its handler.

mod auth;

pub(crate) use auth::{Gate, check};
