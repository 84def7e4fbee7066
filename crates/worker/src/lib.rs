//! The worker pulls batches over gRPC up to its capacity, holds agents' streams, dispatches,
//! forwards stops, reports and renews leases.
//!
//! It never accesses the database and takes no decisions. It holds only leases and connections,
//! which a scheduler assigns to another worker if this one dies.

mod acknowledge;
mod acks;
mod address;
mod admission;
mod agent_version;
mod config;
mod deny_list;
mod dispatch;
mod drain;
mod enrolment;
mod gateway;
mod heartbeat;
mod in_flight;
mod live_output;
mod metrics;
mod order_proofs;
mod outbox;
mod output_queue;
mod presence;
mod presence_sync;
mod pull;
mod readiness;
mod registry;
mod renew;
mod report_queue;
mod reporter;
mod retry;
mod room;
mod room_watch;
mod run;
mod scheduler;
mod started;
mod started_report;
mod state;
mod stops;

pub use config::Config;
pub use readiness::Ready;
pub use run::{Error, run};
