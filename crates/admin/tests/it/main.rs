//! Every call of the admin service in process, on a database of each test's own.

mod access;
mod errors;
mod gate;
mod harness;
mod insight;
mod projects;
mod records;
mod scripts;
mod tasks;
mod watch;
mod workers;
