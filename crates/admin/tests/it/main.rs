//! Every call of the admin service in process, on a database of each test's own.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

mod access;
mod desktops;
mod errors;
mod gate;
mod harness;
mod insight;
mod metered;
mod projects;
mod records;
mod scripts;
mod tasks;
mod watch;
mod workers;
