//! All SQL of Graywave: a file for each kind of row, each statement a named function, time a parameter.
//!
//! Functions take a connection, so that their caller decides what shares a transaction. Locks are taken in one
//! order everywhere, which is what keeps transactions from waiting for each other in a circle:
//! wave (ascending), project_limit, batch (by id), straggler, record, target_stop, task. Only a freeze locks waves of several
//! tasks, in the order of their ids. Whoever manages access holds the project's row, and none of these. Who enrols holds a token, then the
//! desktop's certificates (`enrolment::hold_desktop`), then its row.

pub mod audit;
pub mod batch;
pub mod credential;
pub mod desktop;
pub mod effect;
pub mod enrolment;
mod error;
pub mod event;
pub mod failure;
pub mod gauge;
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
mod silence;
mod straggler;
pub mod target;
pub mod target_stop;
pub mod task;
mod values;
pub mod wave;
pub mod worker;

pub use clock::Clock;
pub use error::Error;
pub use pool::{PoolOptions, Store, Tx};
pub use rows::TaskRows;
pub use sqlx::PgConnection as Connection;
