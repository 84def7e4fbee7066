//! CreateScript, ListScripts, ShowScriptDetail, UpdateScript and DeleteScript.

use axum::{Json, extract::Path, http::StatusCode};
use control::{RevisionSelector, ScriptFilter, ScriptRow, finished};
use domain::{Error, ids::TaskId, page::SCRIPT_LISTS, script::ScriptBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::time;
use crate::{
    dto::{
        LimitQuery, OffsetQuery, Project, ScriptPath, ScriptType, optional_type, required_type, script_fields,
    },
    error::ApiError,
    extract::{Authorized, Body, Parameters, query},
};

script_fields! {
    /// Content and metadata of a new script.
    CreateScript {
        /// Interpreter; cannot be changed later.
        #[serde(rename = "type")]
        #[schema(required = true, nullable = false, value_type = ScriptType)]
        script_type,
    }
}

script_fields! {
    /// New content and metadata of a script. An omitted description or version is cleared.
    UpdateScript {}
}

/// Id of a saved script.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Created {
    script_id: String,
}

/// A script. `content` is present only in the detail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Script {
    id: String,
    name: String,
    description: String,
    #[serde(rename = "type")]
    #[schema(value_type = ScriptType)]
    script_type: &'static str,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[schema(format = DateTime)]
    create_time: String,
    #[schema(format = DateTime)]
    update_time: String,
}

impl Script {
    fn listed(row: ScriptRow) -> Self {
        Self { content: None, ..Self::detailed(row) }
    }

    fn detailed(row: ScriptRow) -> Self {
        Self {
            id: row.script_id.to_string(),
            name: row.body.name,
            description: row.body.description,
            script_type: row.script_type.as_str(),
            version: row.body.version,
            content: Some(row.body.content),
            create_time: time(row.create_time),
            update_time: time(row.update_time),
        }
    }
}

/// One page of scripts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scripts {
    /// Total number of matching scripts.
    count: i64,
    scripts: Vec<Script>,
}

/// Save a new script.
#[utoipa::path(
    post, path = "/v2/{project_id}/scripts", operation_id = "CreateScript", tag = "scripts",
    params(Project), request_body = CreateScript,
    responses((status = 200, description = "The script is saved.", body = Created)),
)]
pub(crate) async fn create(
    Authorized { control, caller }: Authorized,
    Body(request): Body<CreateScript>,
) -> Result<Json<Created>, ApiError> {
    let script_type = required_type(request.script_type.as_deref(), "type")?;
    let body = request.body()?;
    let script_id = finished(async move { control.create_script(&caller, script_type, &body).await }).await?;
    Ok(Json(Created { script_id: script_id.to_string() }))
}

/// Filters of scripts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only this script.
    id: Option<String>,
    /// Only scripts with exactly this name.
    name: Option<String>,
    /// Only scripts of this type.
    #[serde(rename = "type")]
    #[param(value_type = Option<ScriptType>)]
    script_type: Option<String>,
}

/// List scripts, newest first.
#[utoipa::path(
    get, path = "/v2/{project_id}/scripts", operation_id = "ListScripts", tag = "scripts",
    params(Project, OffsetQuery, LimitQuery, ListQuery),
    responses((status = 200, description = "One page.", body = Scripts)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(offset): Parameters<OffsetQuery>,
    Parameters(LimitQuery { limit }): Parameters<LimitQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Scripts>, ApiError> {
    let page = offset.page(SCRIPT_LISTS, limit)?;
    let script_type = optional_type(query.script_type.as_deref(), "type")?;
    let script_id = match query::text(query.id).as_deref().map(str::parse) {
        Some(Err(_)) => return Ok(Json(Scripts { count: 0, scripts: Vec::new() })),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let filter =
        ScriptFilter { script_id, name: query::text(query.name), script_type, ..ScriptFilter::default() };
    let (count, rows) = control.list_scripts(&caller, &filter, page).await?;
    Ok(Json(Scripts { count, scripts: rows.into_iter().map(Script::listed).collect() }))
}

/// Revision to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShowQuery {
    /// Show the revision that this task ran; default the current one.
    script_task_id: Option<String>,
}

/// Show a script with its content.
#[utoipa::path(
    get, path = "/v2/{project_id}/scripts/{script_id}", operation_id = "ShowScriptDetail", tag = "scripts",
    params(Project, ScriptPath, ShowQuery),
    responses((status = 200, description = "The script.", body = Script)),
)]
pub(crate) async fn show(
    Authorized { control, caller }: Authorized,
    Path(path): Path<ScriptPath>,
    Parameters(query): Parameters<ShowQuery>,
) -> Result<Json<Script>, ApiError> {
    let task_id = query::text(query.script_task_id).map(|text| TaskId::find(&text)).transpose()?;
    let at = task_id.map_or(RevisionSelector::Current, RevisionSelector::PinnedBy);
    Ok(Json(Script::detailed(control.show_script(&caller, path.id()?, at).await?)))
}

/// Save a new revision of a script.
#[utoipa::path(
    put, path = "/v2/{project_id}/scripts/{script_id}", operation_id = "UpdateScript", tag = "scripts",
    params(Project, ScriptPath), request_body = UpdateScript,
    responses((status = 204, description = "The revision is saved.")),
)]
pub(crate) async fn update(
    Authorized { control, caller }: Authorized,
    Path(path): Path<ScriptPath>,
    Body(request): Body<UpdateScript>,
) -> Result<StatusCode, ApiError> {
    let script_id = path.id()?;
    let body = request.body()?;
    finished(async move { control.update_script(&caller, script_id, &body).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a script. Tasks that use it keep its revisions.
#[utoipa::path(
    delete, path = "/v2/{project_id}/scripts/{script_id}", operation_id = "DeleteScript", tag = "scripts",
    params(Project, ScriptPath),
    responses((status = 204, description = "The script is deleted.")),
)]
pub(crate) async fn delete(
    Authorized { control, caller }: Authorized,
    Path(path): Path<ScriptPath>,
) -> Result<StatusCode, ApiError> {
    let script_id = path.id()?;
    finished(async move { control.delete_script(&caller, script_id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
