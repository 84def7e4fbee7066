//! The scheduler opens waves, assigns targets to batches, leases them over gRPC, stores results,
//! runs the gate and reaps expired leases.
//!
//! Schedulers are stateless: any number run side by side on one database, and any worker may call
//! any of them. The crate `engine` holds the rollout rules; this crate adds transactions, loops and
//! RPCs.

mod attach;
mod config;
mod deny_list;
mod enrolment;
mod issuing;
mod leased;
mod live_output;
mod loops;
mod metrics;
mod presence;
mod projection;
mod report_permits;
mod retention;
mod rollout;
mod rpc;
mod scheduler;
mod sealing;
mod session_keys;
mod spec_cache;
mod task_changes;
mod waiting_pulls;
mod wakeups;

pub use config::Config;
pub use engine::{DueTimes, ScriptResult};
pub use enrolment::AskedBy;
pub use issuing::Enrolment;
pub use leased::{Leased, Pulled};
pub use live_output::{Answer, OutputPart};
pub use loops::run;
pub use presence::Refused;
pub use proto::scheduler::scheduler_service_server::SchedulerServiceServer;
pub use retention::Retention;
pub use rollout::{ReportAnswer, ReturnedTarget, TargetReport};
pub use rpc::service;
pub use scheduler::Scheduler;
pub use session_keys::KeyWrap;
pub use spec_cache::Spec;
pub use wakeups::Wakes;
