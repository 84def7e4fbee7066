//! Warnings in previews and in answers of execution calls.

use control::TaskProgress;
use domain::warning::Warning;
use serde::Serialize;
use utoipa::ToSchema;

use super::task::NativeTask;

/// A fact about a valid request that its author probably did not mean.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeWarning {
    /// Kind of the warning: MIXED_LINE_ENDS, IMPOSSIBLE_EXIT_CODE, WAVE_WITHOUT_THRESHOLD,
    /// NO_CANARY, THRESHOLD_UNREACHABLE, APPROVAL_WITHOUT_WAVE, CANARY_OFFLINE or SCRIPT_DELETED.
    code: &'static str,
    /// Fact and fix, for people.
    message: String,
    /// Wave that the warning is about; `null` for the whole task.
    wave: Option<u16>,
}

impl From<Warning> for NativeWarning {
    fn from(warning: Warning) -> Self {
        Self { code: warning.code.as_str(), message: warning.message, wave: warning.wave }
    }
}

/// Returns the warnings of a response.
pub(super) fn warnings(found: Vec<Warning>) -> Vec<NativeWarning> {
    found.into_iter().map(NativeWarning::from).collect()
}

/// A submitted task, with warnings about its request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SubmittedTask {
    #[serde(flatten)]
    task: NativeTask,
    /// Facts that the author of the request probably did not mean; empty without any.
    warnings: Vec<NativeWarning>,
}

impl SubmittedTask {
    pub(super) fn new(progress: TaskProgress, found: Vec<Warning>) -> Self {
        Self { task: NativeTask::from(progress), warnings: warnings(found) }
    }
}
