//! The worker: pulls batches over gRPC with a capacity, holds agents' streams, dispatches, passes stops on, reports,
//! renews leases.
//!
//! It never touches the database and takes no decision: it holds leases and connections, and what it loses by
//! dying, a scheduler gives to another.

mod address;
mod config;
mod dispatch;
mod drain;
mod enrolment;
mod gateway;
mod heartbeat;
mod in_flight;
mod metrics;
mod order_proofs;
mod presence;
mod presence_sync;
mod pull;
mod readiness;
mod registry;
mod renew;
mod report_queue;
mod reporter;
mod retry;
mod run;
mod scheduler;
mod state;
mod stops;

pub use config::Config;
pub use readiness::Ready;
pub use run::{Error, run};
