//! Records in paths and words.

use domain::{Error, record::RecordId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The words of a record's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum RecordWord {
    Waiting,
    Running,
    Success,
    Failed,
    Stopped,
    Skipped,
}

impl RecordWord {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
            Self::Skipped => "SKIPPED",
        }
    }
}

/// One record in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RecordPath {
    /// The record.
    record_id: String,
}

impl RecordPath {
    pub(crate) fn id(&self) -> Result<RecordId, Error> {
        self.record_id.parse()
    }
}
