//! The rollout orchestration: how a task moves from one state to the next.
//!
//! Every operation has the same shape. It loads the locked rows of one task, decides on a copy, and
//! returns a [`Decision`]. A decision contains row [`Changes`] and [`Effect`]s. The caller applies
//! the changes in the same transaction and reports the effects after the commit.
//!
//! This crate knows no SQL, clock or transport. [`Rows`] is the only access to data, and time is a
//! parameter. Schedulers and use cases run the crate on Postgres (crate `store`); the simulator
//! runs it on rows in memory.

mod changes;
mod due;
mod effect;
mod faults;
mod liveness;
mod map;
mod operation;
mod rollout;
pub mod row;
mod rows;

pub use changes::{
    AwaitedChanges, BatchChanges, Changes, Decision, DeferredChanges, FailureCount, NewEvent, StopMark,
    TaskChange, Wake,
};
pub use due::{DueTimes, Duty, DutyKind};
pub use effect::Effect;
pub use faults::{Faults, NoFaults, Rule};
pub use liveness::Liveness;
pub use operation::{
    Admission, Approval, Approved, Engine, Freeze, Refusal, Report, ReportAnswer, ReportParts,
    ReportedTarget, ReturnedTarget, ScriptResult, Split, Suspension,
};
pub use rows::{LeaseRows, Rows, Snapshot, TargetDetail, TargetSelection};
