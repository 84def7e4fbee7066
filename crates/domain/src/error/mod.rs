//! Errors of rules and use cases: kind, stable reason, field, human-readable message, and a source
//! for the log.

mod domain_error;
mod field;
mod kind;
mod page;
mod reason;
mod text;

use std::time::Duration;

pub use domain_error::Error;
pub use field::{FieldPath, Segment};
pub use kind::ErrorKind;
pub use page::reference;
pub use reason::Reason;
pub(crate) use text::shorten;
pub use text::{MAX_ERROR_MESSAGE_CHARS, cut};

/// Default delay before a client repeats a call that failed temporarily.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);
