//! All SQL of Graywave: one file per kind of row, one named function per statement, time as a
//! parameter.
//!
//! Functions take a connection, so that their caller decides what shares a transaction.
//!
//! # Lock order
//!
//! All code takes locks in one order, so that transactions never deadlock:
//!
//! 1. an idempotency key, and the row of a freeze (`project_freeze`);
//! 2. waves, ascending; for several tasks in the order of their ids;
//! 3. `project_limit`;
//! 4. batches of a task, by id, in the order of lease renewals;
//! 5. `awaited_return`, `deferred_target`, `record`, `failure_group`, `target_stop`, `task`.
//!
//! A projection locks only its own tables, behind the advisory lock of its project. Retention takes
//! these locks of all its projects, by key, before any other lock.
//!
//! Rows of a task that has not ended change only under the locks of its waves. Exceptions are
//! leases, renewals and reclaims of lost workers: they lock batches and no other rows of a task.
//! Access calls lock the project's row and none of these rows. An enrolment locks its token, then
//! the desktop's certificates (`enrolment::hold_desktop`), then its row.

pub mod audit;
mod awaited_return;
pub mod batch;
mod codec;
mod connection_watchdog;
pub mod credential;
mod decision;
mod deferred_target;
pub mod deny_list;
pub mod desktop;
mod duty;
pub mod effect;
pub mod enrolment;
mod error;
pub mod event;
pub mod failure;
pub mod idempotency;
pub mod live_output;
pub mod map;
mod migrations;
pub mod newest_record;
pub mod notify;
pub mod partition;
mod pool;
mod presence;
mod probe;
pub mod project;
mod project_count;
pub mod project_limit;
pub mod projection;
pub mod record;
pub mod retention;
pub mod roles;
mod rows;
mod schema_version;
pub mod script;
pub mod seal;
pub mod session;
pub mod sign_in_code;
pub mod snapshot;
pub mod stats;
pub mod straggler;
pub mod target;
mod target_insert;
pub mod target_stop;
pub mod task;
pub mod task_change;
pub mod wave;
pub mod worker;

pub use error::Error;
pub use migrations::schema_digest;
pub use pool::{Acquired, PoolOptions, Store, Tx, unverified_host, wait_until_idle};
pub use probe::{NotUsable, postgres_message};
pub use rows::TaskRows;
pub use sqlx::PgConnection as Connection;
pub use time_sync::Clock;
