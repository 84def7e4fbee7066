//! The rows that decisions read, as values, and the conditions that concern a single row.

mod awaited;
mod batch;
pub(crate) mod deferred;
mod presence;
mod record;
mod target;
mod task;
mod wave;

pub use awaited::{AwaitedReturn, AwaitedRow};
pub use batch::{BatchRow, BatchTerms, LeaseChoice, NewBatch, ReadyBatch, WithdrawableBatch};
pub use deferred::{DeferredRow, NewDeferred};
pub use presence::{OutOfService, Presence};
pub use record::NewRecord;
pub use target::{TargetLease, TargetRow, Whereabouts};
pub use task::TaskFacts;
pub use wave::WaveRow;
