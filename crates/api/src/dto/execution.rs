//! Body of a request that runs scripts or a command on named desktops.

use std::collections::BTreeMap;

use domain::{Error, Reason, rollout::RolloutRequest, submission::ExecutionRequest};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ScriptType, rollout::Rollout};

/// Scripts or a command, and the desktops that run them. Exactly one of `script_ids` and `command`
/// is required.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Execution {
    /// Resource type. Only `DESKTOP` is supported.
    #[schema(pattern = "^DESKTOP$")]
    resource_type: Option<String>,
    /// Ids of the target desktops.
    #[schema(required = true, nullable = false, min_items = 1, max_items = 1_000_000)]
    resource_ids: Option<Vec<String>>,
    /// Ids of scripts, run in this order. The first script that does not succeed ends the run on
    /// its desktop.
    #[schema(max_items = 20)]
    script_ids: Option<Vec<String>>,
    /// Command line to run instead of scripts.
    #[schema(min_length = 1, max_length = 100_000)]
    command: Option<String>,
    /// Interpreter of the command.
    #[schema(value_type = Option<ScriptType>)]
    command_type: Option<String>,
    /// Number of desktops in the gray wave; 0 means no gray wave.
    #[schema(minimum = 0, maximum = 1_000_000)]
    gray_count: Option<i64>,
    /// Desktops of the gray wave. `gray_count` takes precedence over the length of this list.
    #[schema(max_items = 1_000_000)]
    gray_resource_ids: Option<Vec<String>>,
    /// Number of failed desktops in the gray wave that halts the rollout; less than `gray_count`.
    #[schema(minimum = 1, maximum = 1_000_000)]
    gray_fail_threshold: Option<i64>,
    /// Time limit of each script in minutes; 0 means the configured default.
    #[schema(minimum = 0, maximum = 600)]
    execution_timeout: Option<i64>,
    rollout: Option<Rollout>,
    /// Values of parameters that the scripts declare. A script gets each value as the environment
    /// variable `GRAYWAVE_PARAM_NAME`, in capitals.
    parameters: Option<BTreeMap<String, String>>,
    /// Not supported. A request that sets this field is refused.
    #[schema(ignore)]
    pre_start: Option<String>,
    #[schema(ignore)]
    post_finish: Option<String>,
}

/// Refuses fields that would change the run: to accept and ignore them would mislead the caller.
/// Other unknown fields are ignored, as the published service does.
pub(crate) fn refuse_unsupported(pre_start: Option<&str>, post_finish: Option<&str>) -> Result<(), Error> {
    for (name, value) in [("pre_start", pre_start), ("post_finish", post_finish)] {
        if value.is_some_and(|text| !text.is_empty()) {
            return Err(Error::field(Reason::FieldUnsupported, name, "not supported; remove this field"));
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
            parameters: self.parameters.unwrap_or_default(),
            ..ExecutionRequest::default()
        })
    }
}
