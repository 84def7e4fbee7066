//! RPCs for workers: one file per RPC group, and the service that dispatches to them.

mod answer;
mod authentic;
mod certificates;
mod context;
mod error;
mod heartbeat;
mod leases;
mod live_output;
mod orders;
mod peer;
mod presence;
mod pull;
mod report;
mod service;
mod stops;

pub use service::service;
