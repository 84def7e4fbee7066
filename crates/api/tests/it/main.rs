//! In-process tests of the REST adapter on a real Postgres.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod access;
mod desktops;
mod document;
mod drive;
mod errors;
mod executions;
mod group_executions;
mod harness;
mod native;
mod native_access;
mod native_desktops;
mod native_scripts;
mod protection;
mod records;
mod retry_stop;
mod rollout;
mod scripts;
mod signatures;
