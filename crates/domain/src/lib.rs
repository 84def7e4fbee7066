//! The rules of Graywave as pure functions from values to values.
//!
//! The crate has no runtime, database or network. Time, ids and randomness are arguments, so that
//! every decision can be replayed. The terms are those of `ARCHITECTURE.md`.

pub mod audit;
pub mod auth;
mod basis_points;
pub mod csv;
pub mod error;
pub mod ids;
pub mod insight;
pub mod limits;
pub mod outcome;
pub mod pagination;
pub mod period;
pub mod plan;
pub mod retention;
pub mod schema;
pub mod script;
mod string_enum;
pub mod target;
pub mod task;
pub mod threshold;
pub mod version;
pub mod warning;
pub mod wave;
pub mod window;
pub mod worker_memory;

pub use audit::justification;
pub use auth::{
    access_check, authz, deny_list, enrolment, merkle, person, request_signing, session, token_life,
};
pub use basis_points::BasisPoints;
pub use error::{Error, ErrorKind, FieldPath, RETRY_AFTER, Reason};
pub use insight::{attention, explain, map, what_if};
pub use outcome::{fingerprint, output, tally};
pub use pagination::{cursor, newest, page, record_range, stream_position};
pub use plan::{guard, guardrails, rollout, submission};
pub use target::{
    batching, containment, deadline, desktop, fair_share, identity, quarantine, report_fence,
    return_condition, stratum, tags,
};
pub use task::{event, live_output, process, record, retry};
pub use wave::{evidence, gate, margin, policy, return_policy, wave_start};

/// A time in UTC.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
