//! Body of a request of the native family that runs something: desktops by id, by pool or by tag.

use std::collections::BTreeMap;

use domain::{
    Error, Reason,
    desktop::parse_tags,
    submission::{ExecutionRequest, Group},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ScriptType, execution::with_post_finish, rollout::Rollout};

/// Scripts or a command, and the desktops that run them. Exactly one of `script_ids` and `command`
/// is required, and exactly one of `resource_ids`, `desktop_pool_id` and `desktop_tag`, unless
/// `resource_ids` names desktops of the pool.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NativeExecution {
    /// Resource type. Only `DESKTOP` is supported.
    #[schema(pattern = "^DESKTOP$")]
    resource_type: Option<String>,
    /// Ids of the target desktops; with `desktop_pool_id`, those of the pool, default all.
    #[schema(min_items = 1, max_items = 1_000_000)]
    resource_ids: Option<Vec<String>>,
    /// Pool whose desktops run the task.
    #[schema(min_length = 1, max_length = 128)]
    desktop_pool_id: Option<String>,
    /// Tag of the desktops: `k=v`, or `k=v,k2=v2` for desktops with all of these tags.
    #[schema(pattern = "^[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*$")]
    desktop_tag: Option<String>,
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

impl NativeExecution {
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
            group: group(self.desktop_pool_id, self.desktop_tag)?,
            ..ExecutionRequest::default()
        })
    }
}

/// Reads the group that selects desktops; `None` for named desktops.
fn group(pool_id: Option<String>, tag: Option<String>) -> Result<Option<Group>, Error> {
    match (pool_id.filter(|id| !id.is_empty()), tag.filter(|tag| !tag.is_empty())) {
        (None, None) => Ok(None),
        // Texts of the database contain no NUL, so no pool has such an id.
        (Some(pool_id), None) if pool_id.contains('\0') => {
            let message = "the desktop pool does not exist";
            Err(Error::field(Reason::SelectionEmpty, "desktop_pool_id", message))
        }
        (Some(pool_id), None) => Ok(Some(Group::Pool(pool_id))),
        (None, Some(tag)) => {
            let tags = parse_tags("desktop_tag", &tag)?;
            Ok(Some(Group::Tag(tag, tags)))
        }
        (Some(_), Some(_)) => {
            let message = "a pool and a tag exclude each other; remove one of them";
            Err(Error::field(Reason::FieldsExclusive, "desktop_tag", message))
        }
    }
}
