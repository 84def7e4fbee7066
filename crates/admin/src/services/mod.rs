//! The gRPC services. Each method extracts its caller, converts the request, runs its use case and
//! converts the result.

mod access;
mod audit;
mod certificates;
mod desktops;
mod enrolment;
mod insight;
mod output;
mod project_watch;
mod projects;
mod records;
mod scripts;
mod tasks;
mod watch;
mod workers;
