//! Scheduler tests on a real Postgres, with the time as a parameter: no test waits for a clock.

#![expect(clippy::unwrap_used, reason = "test helpers panic on failure")]

mod authentic;
mod bounded_reads;
mod busy_desktops;
mod concurrency;
mod deadlines;
mod evidence;
mod fairness;
mod gate;
mod grpc;
mod harness;
mod identity;
mod late_results;
mod leases;
mod live_output;
mod locks;
mod offline_desktops;
mod out_of_service;
mod poisoned;
mod policy;
mod projection;
mod quarantine;
mod replaced;
mod report_fencing;
mod reports;
mod retention;
mod returns;
mod roles;
mod sealing;
mod stops;
mod wave_start;
