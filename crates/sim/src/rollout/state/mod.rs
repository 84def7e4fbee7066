//! The state of simulated processes and desktops.

mod agent;
mod scheduler;
mod worker;

pub(super) use agent::{Active, Agent, Fate, Journal};
pub(super) use scheduler::Scheduler;
pub(super) use worker::{Held, Report, WorkerState};
