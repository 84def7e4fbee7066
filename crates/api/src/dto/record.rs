//! Path parameter and status names of records.

use domain::{Error, record::RecordId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Status of a record.
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

/// Path parameter with a record id.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RecordPath {
    /// Record id.
    record_id: String,
}

impl RecordPath {
    pub(crate) fn id(&self) -> Result<RecordId, Error> {
        self.record_id.parse()
    }
}
