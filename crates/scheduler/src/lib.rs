//! The scheduler: opens waves, cuts batches, leases them over gRPC, stores results, runs the gate, reaps.
//!
//! It holds no state: any number run side by side on one database, and any worker may talk to any of them.

mod answer;
mod caller;
mod config;
pub mod engine;
mod gauges;
mod hearing;
mod loops;
mod orders;
mod retention;
mod service;
mod wake;

pub use config::Config;
pub use engine::Engine;
pub use loops::run;
pub use proto::scheduler::scheduler_service_server::SchedulerServiceServer;
pub use retention::Retention;
pub use service::service;
pub use wake::Wakes;
