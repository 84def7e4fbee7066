//! Targets of a task and their desktops.

pub mod batching;
pub mod containment;
pub mod deadline;
pub mod desktop;
pub mod fair_share;
pub mod identity;
pub mod quarantine;
pub mod report_fence;
pub mod return_condition;
pub mod stratum;
pub mod tags;
