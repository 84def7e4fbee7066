//! The gRPC services: each call extracts its caller, converts, runs its use case and converts the
//! result.

mod access;
mod audit;
mod desktops;
mod enrolment;
mod insight;
mod projects;
mod records;
mod scripts;
mod tasks;
mod watch;
mod workers;
