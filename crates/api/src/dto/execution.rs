//! Body of a request that runs scripts or a command on named desktops.

use std::collections::BTreeMap;

use domain::{
    Error, Reason, return_policy::PostFinish, rollout::RolloutRequest, submission::ExecutionRequest,
};
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
    /// Refused unless it is empty: the published service names no value of this field.
    #[schema(ignore)]
    pre_start: Option<String>,
    /// Action on each desktop after its last script: `STOP` or `REBOOT`.
    #[schema(pattern = "^(STOP|REBOOT|stop|reboot)$")]
    post_finish: Option<String>,
}

/// Returns the rollout object with `post_finish` of the published body. Refuses `pre_start`: to
/// accept and ignore it would mislead the caller. Other unknown fields are ignored, as the
/// published service does. Empty texts count as absent.
pub(crate) fn with_post_finish(
    rollout: Option<Rollout>,
    pre_start: Option<String>,
    post_finish: Option<String>,
) -> Result<Option<RolloutRequest>, Error> {
    let is_given = |text: &String| !text.is_empty();
    if pre_start.as_ref().is_some_and(is_given) {
        let message = "not supported: the published service names no value of this field; remove it";
        return Err(Error::field(Reason::FieldUnsupported, "pre_start", message));
    }
    let rollout = rollout.map(RolloutRequest::from);
    let Some(action) = post_finish.filter(is_given) else { return Ok(rollout) };
    let rollout = rollout.unwrap_or_default();
    if rollout.post_finish.is_some() {
        let message = "is given twice: keep this field or rollout.post_finish";
        return Err(Error::field(Reason::FieldsExclusive, "post_finish", message));
    }
    action.to_lowercase().parse::<PostFinish>().map_err(|error| error.within("post_finish"))?;
    Ok(Some(RolloutRequest { post_finish: Some(action), ..rollout }))
}

impl Execution {
    pub(crate) fn request(self) -> Result<ExecutionRequest, Error> {
        let rollout = with_post_finish(self.rollout, self.pre_start, self.post_finish)?;
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
            rollout,
            parameters: self.parameters.unwrap_or_default(),
            ..ExecutionRequest::default()
        })
    }
}
