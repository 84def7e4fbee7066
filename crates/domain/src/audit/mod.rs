//! The audit: details of an entry.

mod details;

pub use details::{DesktopSelection, ExecutionDetails, NO_DETAILS, ScriptDetails, changed, read};
