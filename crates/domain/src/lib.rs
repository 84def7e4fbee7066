//! The rules of Graywave, pure: functions from values to values.
//!
//! No runtime, no database, no network; time, ids and randomness come in as values, so that every decision can
//! be replayed. The words are those of `ARCHITECTURE.md`.

pub mod access;
pub mod claim;
pub mod cursor;
pub mod cut;
pub mod deadline;
pub mod desktop;
pub mod enrolment;
pub mod error;
pub mod event;
pub mod explain;
pub mod failure;
pub mod gate;
pub mod ids;
pub mod limits;
pub mod merkle;
pub mod opening;
pub mod outcome;
pub mod page;
pub mod plan;
pub mod policy;
pub mod record;
pub mod retention;
pub mod retry;
pub mod rollout;
pub mod script;
pub mod signature;
pub mod stratum;
pub mod submission;
pub mod suspect;
pub mod tags;
pub mod tally;
pub mod task;
pub mod threshold;
pub mod wave;
pub mod what_if;
pub mod window;
mod words;

pub use error::{Error, ErrorKind, FieldPath, RETRY_AFTER, Reason};

/// A moment in UTC.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
