//! The scheduler: opens waves, cuts batches, leases them over gRPC, stores results, runs the gate, reaps.
//!
//! It holds no state: any number run side by side on one database, and any worker may talk to any of them. The rules of
//! rollouts are in crate `engine`; here are the transactions, the loops and the RPC around them.

mod config;
mod enrolment;
mod issuing;
mod liveness;
mod loops;
mod metrics;
mod presence;
mod retention;
mod rollout;
mod rpc;
mod scheduler;
mod spec_cache;
mod wakeups;

pub use config::Config;
pub use engine::ScriptResult;
pub use enrolment::AskedBy;
pub use issuing::Enrolment;
pub use loops::run;
pub use presence::Refused;
pub use proto::scheduler::scheduler_service_server::SchedulerServiceServer;
pub use retention::Retention;
pub use rollout::{Leased, ReportAnswer, ReturnedTarget, TargetReport};
pub use rpc::service;
pub use scheduler::Scheduler;
pub use spec_cache::Spec;
pub use wakeups::Wakes;
