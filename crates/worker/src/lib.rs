//! The worker: pulls batches over gRPC with a capacity, holds agents' streams, dispatches, passes stops on, reports,
//! renews leases.
//!
//! It never touches the database and takes no decision: it holds leases and connections, and what it loses by
//! dying, a scheduler gives to another.

mod address;
mod config;
mod dispatch;
mod enrolment;
mod gateway;
mod gauges;
mod heartbeat;
mod leave;
mod ledger;
mod presence;
mod pull;
mod ready;
mod registry;
mod renew;
mod report;
mod reports;
mod retry;
mod run;
mod scheduler;
mod shared;
mod signed;
mod stops;
mod tell;

pub use config::Config;
pub use ready::Ready;
pub use run::{Error, run};
