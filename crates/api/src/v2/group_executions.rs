//! ExecuteScriptByDesktopTag and ExecuteDesktopPoolScript: executions that select desktops by tag
//! or pool.

use axum::extract::Path;
use control::{Caller, Control, finished};
use domain::{
    Error, Reason,
    desktop::parse_tags,
    submission::{Group, GroupRequest},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    Accepted,
    warnings::{AcceptedWithWarnings, accepted},
};
use crate::{
    dto::{Project, Rollout, ScriptType, with_post_finish},
    error::ApiError,
    extract::{Authorized, Body},
    names::Names,
};

/// Scripts or a command for a group of desktops. Exactly one of `script_ids` and `command_content`
/// is required.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct GroupExecution {
    /// Tag of the desktops; required by tag: `k=v`, or `k=v,k2=v2` for desktops with all of these
    /// tags.
    #[schema(pattern = "^[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*$")]
    desktop_tag: Option<String>,
    /// Desktops of the pool that run the task; default all.
    #[schema(max_items = 1_000_000)]
    desktop_ids: Option<Vec<String>>,
    /// Ids of scripts, run in this order. The first script that does not succeed ends the run on
    /// its desktop.
    #[schema(max_items = 20)]
    script_ids: Option<Vec<String>>,
    /// Command line to run instead of scripts.
    #[schema(min_length = 1, max_length = 100_000)]
    command_content: Option<String>,
    /// Interpreter of the command.
    #[schema(value_type = Option<ScriptType>)]
    command_type: Option<String>,
    /// Number of desktops in the gray wave; 0 means no gray wave.
    #[schema(minimum = 0, maximum = 1000)]
    gray_count: Option<i64>,
    /// Desktops of the gray wave. `gray_count` takes precedence over the length of this list.
    #[schema(max_items = 1000)]
    gray_desktop_ids: Option<Vec<String>>,
    /// Number of failed desktops in the gray wave that halts the rollout; less than `gray_count`.
    #[schema(minimum = 1, maximum = 1000)]
    gray_fail_threshold: Option<i64>,
    /// Time limit of each script in minutes; default 1.
    #[schema(minimum = 1, maximum = 600)]
    execution_timeout: Option<i64>,
    rollout: Option<Rollout>,
    /// Refused unless it is empty: the published service names no value of this field.
    #[schema(ignore)]
    pre_start: Option<String>,
    /// Action on each desktop after its last script: `STOP` or `REBOOT`.
    #[schema(pattern = "^(STOP|REBOOT|stop|reboot)$")]
    post_finish: Option<String>,
}

impl GroupExecution {
    fn request(self) -> Result<GroupRequest, Error> {
        let rollout = with_post_finish(self.rollout, self.pre_start, self.post_finish)?;
        Ok(GroupRequest {
            desktop_ids: self.desktop_ids,
            script_ids: self.script_ids,
            command_content: self.command_content,
            command_type: self.command_type,
            gray_count: self.gray_count,
            gray_desktop_ids: self.gray_desktop_ids,
            gray_fail_threshold: self.gray_fail_threshold,
            execution_timeout: self.execution_timeout,
            rollout,
        })
    }
}

/// Run scripts or a command on the desktops that currently have a tag.
#[utoipa::path(
    post, path = "/v2/{project_id}/script-executions/by-desktop-tag", operation_id = "ExecuteScriptByDesktopTag",
    tag = "executions", params(Project), request_body = GroupExecution,
    responses((
        status = 200, description = "The task is stored.", body = Accepted,
        headers(("X-Graywave-Warnings" = String, description = "Codes of warnings about the request, such as \
            `WAVE_WITHOUT_THRESHOLD;wave=2`; absent without any.")),
    )),
)]
pub(crate) async fn execute_by_tag(
    Authorized { control, caller }: Authorized,
    Body(mut execution): Body<GroupExecution>,
) -> Result<AcceptedWithWarnings, ApiError> {
    let tag = execution
        .desktop_tag
        .take()
        .filter(|tag| !tag.is_empty())
        .ok_or_else(|| Error::required("desktop_tag", "name a tag: k=v, or k=v,k2=v2"))?;
    let group = Group::Tag(tag.clone(), parse_tags("desktop_tag", &tag)?);
    if execution.desktop_ids.is_some() {
        let message = "a tag selects every desktop that has it; remove this field, or select by pool";
        return Err(ApiError::with_names(
            Error::field(Reason::FieldsExclusive, "desktop_ids", message),
            Names::Group,
        ));
    }
    run(control, caller, group, execution.request()?).await
}

/// Path parameter with a pool id.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PoolPath {
    /// Pool id.
    pool_id: String,
}

/// Run scripts or a command on the current desktops of a pool, or on some of them.
#[utoipa::path(
    post, path = "/v2/{project_id}/desktop-pools/{pool_id}/script-executions",
    operation_id = "ExecuteDesktopPoolScript", tag = "executions",
    params(Project, PoolPath), request_body = GroupExecution,
    responses((
        status = 200, description = "The task is stored.", body = Accepted,
        headers(("X-Graywave-Warnings" = String, description = "Codes of warnings about the request, such as \
            `WAVE_WITHOUT_THRESHOLD;wave=2`; absent without any.")),
    )),
)]
pub(crate) async fn execute_on_pool(
    Authorized { control, caller }: Authorized,
    Path(path): Path<PoolPath>,
    Body(execution): Body<GroupExecution>,
) -> Result<AcceptedWithWarnings, ApiError> {
    if path.pool_id.contains('\0') {
        return Err(Error::new(Reason::SelectionEmpty, "the desktop pool does not exist").into());
    }
    run(control, caller, Group::Pool(path.pool_id), execution.request()?).await
}

async fn run(
    control: Control,
    caller: Caller,
    group: Group,
    request: GroupRequest,
) -> Result<AcceptedWithWarnings, ApiError> {
    let made = finished(async move {
        let task_id = control.submit_to_group(&caller, group, request).await?;
        Ok(accepted(&control, &caller, task_id).await)
    });
    made.await.map_err(|error| ApiError::with_names(error, Names::Group))
}
