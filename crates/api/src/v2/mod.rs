//! The Huawei-compatible family: paths, fields and words as published. docs/api.md holds what the pages leave open.

pub(crate) mod desktops;
pub(crate) mod executions;
pub(crate) mod records;
pub(crate) mod scripts;
pub(crate) mod tasks;

use domain::Timestamp;

/// A time as the family writes it: UTC, whole seconds.
fn time(moment: Timestamp) -> String {
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text that is absent when it says nothing.
fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
