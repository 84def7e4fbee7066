//! The Huawei-compatible family: published paths, fields and values. docs/api.md states decisions
//! where the published pages are silent.

pub(crate) mod desktops;
pub(crate) mod desktops_detail;
pub(crate) mod executions;
pub(crate) mod group_executions;
pub(crate) mod pool_tasks;
pub(crate) mod records;
pub(crate) mod retry_stop;
pub(crate) mod scripts;
mod task_query;
pub(crate) mod tasks;
mod warnings;

use domain::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// An accepted task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Task id, 32 hex digits.
    pub(crate) task_id: String,
}

/// Formats a time as the family does: UTC, whole seconds.
fn time(moment: Timestamp) -> String {
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
