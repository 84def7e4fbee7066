//! The body of a call that runs something on desktops that it names.

use domain::{Error, Reason, rollout::RolloutRequest, submission::ExecutionRequest};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ScriptType, rollout::Rollout};

/// What is to run where. Exactly one of `script_ids` and `command`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Execution {
    /// `DESKTOP` is the only type there is.
    #[schema(pattern = "^DESKTOP$")]
    resource_type: Option<String>,
    /// All desktops.
    #[schema(required = true, nullable = false, min_items = 1, max_items = 1_000_000)]
    resource_ids: Option<Vec<String>>,
    /// Scripts, run one after the other; the first that does not succeed ends its desktop's part.
    #[schema(max_items = 20)]
    script_ids: Option<Vec<String>>,
    /// A command line instead of scripts.
    #[schema(min_length = 1, max_length = 100_000)]
    command: Option<String>,
    /// What runs the command.
    #[schema(value_type = Option<ScriptType>)]
    command_type: Option<String>,
    /// Desktops of the gray wave; 0 means that there is none.
    #[schema(minimum = 0, maximum = 1_000_000)]
    gray_count: Option<i64>,
    /// Members of the gray wave; `gray_count` wins over their number.
    #[schema(max_items = 1_000_000)]
    gray_resource_ids: Option<Vec<String>>,
    /// Failed desktops of the gray wave at which the others are not begun; less than `gray_count`.
    #[schema(minimum = 1, maximum = 1_000_000)]
    gray_fail_threshold: Option<i64>,
    /// Minutes that one script may run; 0 means the configured default.
    #[schema(minimum = 0, maximum = 600)]
    execution_timeout: Option<i64>,
    rollout: Option<Rollout>,
    /// Not supported.
    #[schema(ignore)]
    pre_start: Option<String>,
    #[schema(ignore)]
    post_finish: Option<String>,
}

/// Refuses fields that would change what runs where: to accept and ignore them would be a lie. All others that are not
/// known are ignored, as the published service does.
pub(crate) fn refuse_unsupported(pre_start: Option<&str>, post_finish: Option<&str>) -> Result<(), Error> {
    for (name, value) in [("pre_start", pre_start), ("post_finish", post_finish)] {
        if value.is_some_and(|text| !text.is_empty()) {
            return Err(Error::field(Reason::FieldUnsupported, name, "not supported: leave it out"));
        }
    }
    Ok(())
}

impl Execution {
    pub(crate) fn request(self) -> Result<ExecutionRequest, Error> {
        refuse_unsupported(self.pre_start.as_deref(), self.post_finish.as_deref())?;
        Ok(ExecutionRequest {
            resource_type: self.resource_type,
            resource_ids: self.resource_ids,
            script_ids: self.script_ids,
            command: self.command,
            command_type: self.command_type,
            gray_count: self.gray_count,
            gray_resource_ids: self.gray_resource_ids,
            gray_fail_threshold: self.gray_fail_threshold,
            execution_timeout: self.execution_timeout,
            rollout: self.rollout.map(RolloutRequest::from),
            ..ExecutionRequest::default()
        })
    }
}
