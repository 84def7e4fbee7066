//! The REST adapter in process, on a real Postgres.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod desktops;
mod errors;
mod executions;
mod harness;
mod records;
mod scripts;
mod signatures;
