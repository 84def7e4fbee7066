//! All SQL of Graywave: a file for each kind of row, each statement a named function, time a parameter.
//!
//! Functions take a connection, so that their caller decides what shares a transaction.
//!
//! # Order of locks
//!
//! Locks are taken in one order everywhere, so that transactions never wait for each other in a circle:
//!
//! 1. an idempotency key, and the row of a freeze (`project_freeze`);
//! 2. waves, ascending; of several tasks in the order of their ids;
//! 3. `project_limit`;
//! 4. batches of a task, by id, as renewals of leases lock them;
//! 5. `deferred_target`, `record`, `failure_group`, `target_stop`, `task`.
//!
//! Everything that belongs to a task that has not ended changes under its waves' locks. Beside them only leases, renewals and
//! lost workers touch batches, and they lock nothing else of a task. The access calls hold the project's row and none of
//! these; an enrolment holds its token, then the desktop's certificates (`enrolment::hold_desktop`), then its row.

pub mod audit;
pub mod batch;
mod codec;
mod connection_watchdog;
pub mod credential;
mod decision;
mod deferred_target;
pub mod desktop;
mod duty;
pub mod effect;
pub mod enrolment;
mod error;
pub mod event;
pub mod failure;
pub mod idempotency;
pub mod notify;
pub mod partition;
mod pool;
mod presence;
pub mod project;
pub mod project_limit;
pub mod record;
pub mod retention;
mod rows;
pub mod script;
pub mod stats;
pub mod target;
pub mod target_stop;
pub mod task;
pub mod wave;
pub mod worker;

pub use error::Error;
pub use pool::{PoolOptions, Store, Tx, schema_digest};
pub use rows::TaskRows;
pub use sqlx::PgConnection as Connection;
pub use time_sync::Clock;
