//! The RPCs of workers: a file for each, and the service that has them all.

mod answer;
mod certificates;
mod context;
mod error;
mod heartbeat;
mod leases;
mod orders;
mod peer;
mod presence;
mod pull;
mod report;
mod service;
mod stops;

pub use service::service;
