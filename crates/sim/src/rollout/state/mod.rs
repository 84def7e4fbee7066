//! The state of simulated processes, desktops and tasks.

mod agent;
mod outage;
mod scheduler;
mod task;
mod worker;

pub(super) use agent::{Active, Agent, Journal, Script, ScriptEnd};
pub(super) use outage::RunningOutage;
pub(super) use scheduler::Scheduler;
pub(super) use task::{ProjectState, TaskState};
pub(super) use worker::{Held, Lease, Report, WorkerState};
