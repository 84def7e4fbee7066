//! Every call of the admin service in process, with a private database per test.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod access;
mod auth;
mod desktops;
mod errors;
mod harness;
mod insight;
mod live_output;
mod metrics;
mod project_watch;
mod projects;
mod records;
mod scripts;
mod tasks;
mod watch;
mod workers;
