//! The scheduler against a real Postgres, with the time as a parameter: no test waits for a clock.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

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
