//! All SQL of Graywave: a file for each kind of row, each statement a named function, time a parameter.
//!
//! Functions take a connection, so that their caller decides what shares a transaction. Locks are taken in one
//! order everywhere, which is what keeps transactions from waiting for each other in a circle:
//! wave (ascending), record, batch and straggler, target_stop, task, project_limit. Only a freeze locks waves of several
//! tasks, in the order of their ids. Whoever manages access holds the project's row, and none of these. Who enrols holds a token, then the
//! desktop's certificates (`enrolment::hold_desktop`), then its row.

pub mod audit;
pub mod batch;
pub mod credential;
pub mod desktop;
pub mod enrolment;
mod error;
pub mod event;
pub mod failure;
pub mod gauge;
pub mod hold;
pub mod idempotency;
pub mod notify;
pub mod partition;
mod pool;
pub mod project;
pub mod project_limit;
pub mod record;
pub mod retention;
pub mod script;
pub mod settle;
mod silence;
pub mod stop;
pub mod straggler;
pub mod target;
pub mod target_stop;
pub mod task;
mod values;
pub mod wave;
pub mod worker;

pub use clock::Clock;
pub use error::Error;
pub use pool::{PoolOptions, Store, Tx};
pub use sqlx::PgConnection as Connection;
