//! Tasks, their records, events and retries.

pub mod event;
pub mod live_output;
pub mod process;
pub mod record;
pub mod retry;
mod status;

pub use status::*;
