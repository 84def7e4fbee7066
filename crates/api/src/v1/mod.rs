//! The native family: operations beyond the compatible family. Times are RFC 3339 in UTC, ids are
//! strings, lists take `page_size` and `page_token`.

pub(crate) mod access;
pub(crate) mod approval;
pub(crate) mod attention;
pub(crate) mod audit;
pub(crate) mod desktops;
pub(crate) mod events;
pub(crate) mod executions;
pub(crate) mod export;
pub(crate) mod freeze;
pub(crate) mod insight;
pub(crate) mod limits;
pub(crate) mod live_output;
pub(crate) mod map;
pub(crate) mod pagination;
pub(crate) mod pause;
pub(crate) mod preview;
pub(crate) mod project_events;
pub(crate) mod records;
pub(crate) mod scripts;
pub(crate) mod summary;
pub(crate) mod targets;
pub(crate) mod task;
pub(crate) mod tasks;
pub(crate) mod warning;
pub(crate) mod workers;

use domain::Timestamp;

/// Formats a time as RFC 3339 in UTC with milliseconds.
fn time(moment: Timestamp) -> String {
    moment.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
