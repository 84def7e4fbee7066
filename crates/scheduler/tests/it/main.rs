//! The scheduler against a real Postgres, with the time as a parameter: no test waits for a clock.

mod concurrency;
mod deadlines;
mod gate;
mod harness;
mod leases;
mod reports;
