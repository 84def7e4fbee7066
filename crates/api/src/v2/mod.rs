//! The Huawei-compatible family: paths, fields and words as published. docs/api.md holds what the pages leave open.

pub(crate) mod again;
pub(crate) mod desktops;
pub(crate) mod desktops_detail;
pub(crate) mod executions;
pub(crate) mod groups;
pub(crate) mod pool_tasks;
pub(crate) mod records;
pub(crate) mod rollout;
pub(crate) mod scripts;
pub(crate) mod tasks;

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The project in the path; the gate compares it with the caller's.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents the path; the gate reads it")]
pub(crate) struct Project {
    /// The project.
    #[param(min_length = 1, max_length = 128)]
    project_id: String,
}

/// A task that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// The task's id, 32 hex digits.
    pub(crate) task_id: String,
}

/// What runs a script or a command. Documents the words: domain reads and writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ScriptType {
    Powershell,
    Bat,
    Shell,
}

/// A time as the family writes it: UTC, whole seconds.
fn time(moment: Timestamp) -> String {
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text that is absent when it says nothing.
pub(crate) fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
