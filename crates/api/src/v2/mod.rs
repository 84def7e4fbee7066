//! The Huawei-compatible family: paths, fields and words as published. docs/api.md holds what the pages leave open.

pub(crate) mod desktops;
pub(crate) mod desktops_detail;
pub(crate) mod executions;
pub(crate) mod group_executions;
pub(crate) mod pool_tasks;
pub(crate) mod records;
pub(crate) mod retry_stop;
pub(crate) mod scripts;
pub(crate) mod tasks;

use domain::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// A task that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The task's id, 32 hex digits.
    pub(crate) task_id: String,
}

/// A time as the family writes it: UTC, whole seconds.
fn time(moment: Timestamp) -> String {
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
