//! Tasks, their records, their events and their retries.

pub mod event;
pub mod record;
pub mod retry;
mod status;

pub use status::*;
