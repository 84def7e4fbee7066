//! ExecuteScriptByDesktopTag, ExecuteDesktopPoolScript: desktops are chosen by what they are, not named.

use axum::{Json, extract::Path};
use control::{Caller, Control, finished};
use domain::{
    Error, Reason,
    desktop::parse_tags,
    rollout::RolloutRequest,
    submission::{Group, GroupRequest},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::Accepted;
use crate::{
    dto::{Project, Rollout, ScriptType, refuse_unsupported},
    error::ApiError,
    extract::{Authorized, Body},
    names::Names,
};

/// What is to run on the desktops of a group. Exactly one of `script_ids` and `command_content`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct GroupExecution {
    /// By tag, and required there: `k=v`, or `k=v,k2=v2` for desktops with all of these tags.
    #[schema(pattern = "^[^=,]+=[^=,]*(,[^=,]+=[^=,]*)*$")]
    desktop_tag: Option<String>,
    /// Of a pool: only these of its desktops.
    #[schema(max_items = 1_000_000)]
    desktop_ids: Option<Vec<String>>,
    /// Scripts, run one after the other; the first that does not succeed ends its desktop's part.
    #[schema(max_items = 20)]
    script_ids: Option<Vec<String>>,
    /// A command line instead of scripts.
    #[schema(min_length = 1, max_length = 100_000)]
    command_content: Option<String>,
    /// What runs the command.
    #[schema(value_type = Option<ScriptType>)]
    command_type: Option<String>,
    /// Desktops of the gray wave; 0 means that there is none.
    #[schema(minimum = 0, maximum = 1000)]
    gray_count: Option<i64>,
    /// Members of the gray wave; `gray_count` wins over their number.
    #[schema(max_items = 1000)]
    gray_desktop_ids: Option<Vec<String>>,
    /// Failed desktops of the gray wave at which the others are not begun; less than `gray_count`.
    #[schema(minimum = 1, maximum = 1000)]
    gray_fail_threshold: Option<i64>,
    /// Minutes that one script may run; 1 when it is left out.
    #[schema(minimum = 1, maximum = 600)]
    execution_timeout: Option<i64>,
    rollout: Option<Rollout>,
    /// Not supported.
    #[schema(ignore)]
    pre_start: Option<String>,
    #[schema(ignore)]
    post_finish: Option<String>,
}

impl GroupExecution {
    fn request(self) -> Result<GroupRequest, Error> {
        refuse_unsupported(self.pre_start.as_deref(), self.post_finish.as_deref())?;
        Ok(GroupRequest {
            desktop_ids: self.desktop_ids,
            script_ids: self.script_ids,
            command_content: self.command_content,
            command_type: self.command_type,
            gray_count: self.gray_count,
            gray_desktop_ids: self.gray_desktop_ids,
            gray_fail_threshold: self.gray_fail_threshold,
            execution_timeout: self.execution_timeout,
            rollout: self.rollout.map(RolloutRequest::from),
        })
    }
}

/// Run scripts or a command on the desktops that have a tag now.
#[utoipa::path(
    post, path = "/v2/{project_id}/script-executions/by-desktop-tag", operation_id = "ExecuteScriptByDesktopTag",
    tag = "executions", params(Project), request_body = GroupExecution,
    responses((status = 200, description = "The task is stored.", body = Accepted)),
)]
pub(crate) async fn execute_by_tag(
    Authorized { control, caller }: Authorized,
    Body(mut execution): Body<GroupExecution>,
) -> Result<Json<Accepted>, ApiError> {
    let tag = execution
        .desktop_tag
        .take()
        .filter(|tag| !tag.is_empty())
        .ok_or_else(|| Error::required("desktop_tag", "name a tag: k=v, or k=v,k2=v2"))?;
    let group = Group::Tag(tag.clone(), parse_tags("desktop_tag", &tag)?);
    if execution.desktop_ids.is_some() {
        let message = "a tag takes every desktop that has it: leave the desktops out, or use a pool";
        return Err(ApiError::with_names(
            Error::field(Reason::FieldsExclusive, "desktop_ids", message),
            Names::Group,
        ));
    }
    run(control, caller, group, execution.request()?).await
}

/// The pool in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct PoolPath {
    /// The pool.
    pool_id: String,
}

/// Run scripts or a command on the desktops that a pool has now, or on some of them.
#[utoipa::path(
    post, path = "/v2/{project_id}/desktop-pools/{pool_id}/script-executions",
    operation_id = "ExecuteDesktopPoolScript", tag = "executions",
    params(Project, PoolPath), request_body = GroupExecution,
    responses((status = 200, description = "The task is stored.", body = Accepted)),
)]
pub(crate) async fn execute_on_pool(
    Authorized { control, caller }: Authorized,
    Path(path): Path<PoolPath>,
    Body(execution): Body<GroupExecution>,
) -> Result<Json<Accepted>, ApiError> {
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
) -> Result<Json<Accepted>, ApiError> {
    let task_id = finished(async move { control.submit_to_group(&caller, group, request).await })
        .await
        .map_err(|error| ApiError::with_names(error, Names::Group))?;
    Ok(Json(Accepted { task_id: task_id.to_string() }))
}
