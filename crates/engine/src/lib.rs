//! The rollout orchestration: how a task moves from one state to the next.
//!
//! Every operation has the same shape: load the locked rows of one task, decide on a copy of them, and return a [`Decision`].
//! A decision holds the row [`Changes`], which the caller applies in the same transaction, and the [`Effect`]s, which the
//! caller reports after the commit. Nothing here knows SQL, a clock or a transport: [`Rows`] is the only way to the data, and
//! the time is a parameter.
//!
//! The schedulers and the use cases run this crate on Postgres (crate `store`), the simulator runs it on rows in memory.

mod changes;
mod due;
mod effect;
mod faults;
mod operation;
mod rollout;
pub mod row;
mod rows;

pub use changes::{
    BatchChanges, Changes, Decision, DeferredChanges, FailureCount, NewEvent, StopMark, TaskChange, Wake,
};
pub use due::{Duty, DutyKind};
pub use effect::Effect;
pub use faults::{Faults, NoFaults, Rule};
pub use operation::{
    Admission, Approval, Approved, Engine, Freeze, Refusal, Report, ReportAnswer, ReportedTarget,
    ReturnedTarget, ScriptResult, Suspension,
};
pub use rows::{LeaseRows, Rows, Snapshot, TargetDetail, TargetSelection};
