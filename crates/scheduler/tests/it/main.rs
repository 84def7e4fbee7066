//! Scheduler tests on a real Postgres, with the time as a parameter: no test waits for a clock.

#![expect(clippy::unwrap_used, reason = "test helpers panic on failure")]

mod away;
mod claims;
mod concurrency;
mod deadlines;
mod gate;
mod grpc;
mod harness;
mod leases;
mod opening;
mod policy;
mod replaced;
mod reports;
mod retention;
mod stops;
mod suspects;
