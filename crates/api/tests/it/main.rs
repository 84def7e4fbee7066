//! The REST adapter in process, on a real Postgres.

mod desktops;
mod errors;
mod executions;
mod harness;
mod records;
mod scripts;
