//! CreateScript, ListScripts, ShowScriptDetail, UpdateScript, DeleteScript.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use control::{At, Caller, Control, ScriptFilter, ScriptRow, finished};
use domain::{
    Error,
    ids::{ScriptId, TaskId},
    page::SCRIPT_LISTS,
    script::ScriptBody,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Project, ScriptType, time};
use crate::{
    body::Body,
    error::ApiError,
    query::{self, Parameters},
};

/// What a new script holds.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateScript {
    #[schema(required = true, nullable = false, min_length = 1, max_length = 256)]
    name: Option<String>,
    /// Never changes.
    #[serde(rename = "type")]
    #[schema(required = true, nullable = false, value_type = ScriptType)]
    script_type: Option<String>,
    #[schema(required = true, nullable = false, min_length = 1, max_length = 100_000)]
    content: Option<String>,
    #[schema(max_length = 256)]
    description: Option<String>,
    /// Free text given by the caller.
    #[schema(max_length = 128)]
    version: Option<String>,
}

/// What replaces a script: a description or version that is left out is cleared.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct UpdateScript {
    #[schema(required = true, nullable = false, min_length = 1, max_length = 256)]
    name: Option<String>,
    #[schema(required = true, nullable = false, min_length = 1, max_length = 100_000)]
    content: Option<String>,
    #[schema(max_length = 256)]
    description: Option<String>,
    /// Free text given by the caller.
    #[schema(max_length = 128)]
    version: Option<String>,
}

/// A script that was saved.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Created {
    script_id: String,
}

/// A script; `content` only in the detail.
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
    /// How many there are in all.
    count: i64,
    scripts: Vec<Script>,
}

/// One script in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ScriptPath {
    /// The script.
    script_id: String,
}

impl ScriptPath {
    /// An id that cannot be ours is one that does not exist.
    pub(crate) fn id(&self) -> Result<ScriptId, Error> {
        ScriptId::find(&self.script_id)
    }
}

/// Save a new script.
#[utoipa::path(
    post, path = "/v2/{project_id}/scripts", operation_id = "CreateScript", tag = "scripts",
    params(Project), request_body = CreateScript,
    responses((status = 200, description = "It was saved.", body = Created)),
)]
pub(crate) async fn create(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CreateScript>,
) -> Result<Json<Created>, ApiError> {
    let script_type = request
        .script_type
        .as_deref()
        .ok_or_else(|| Error::required("type", "a script needs a type: POWERSHELL, BAT or SHELL"))?;
    let script_type = script_type.parse().map_err(|error: Error| error.within("type"))?;
    let body = ScriptBody::new(request.name, request.content, request.description, request.version)?;
    let script_id = finished(async move { control.create_script(&caller, script_type, &body).await }).await?;
    Ok(Json(Created { script_id: script_id.to_string() }))
}

/// Which scripts are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Scripts left out at the start.
    #[param(minimum = 0, maximum = 2147483646)]
    offset: Option<i64>,
    /// Scripts at most; 10 when it is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Only this script.
    id: Option<String>,
    /// Only scripts of exactly this name.
    name: Option<String>,
    /// Only scripts of this type.
    #[serde(rename = "type")]
    #[param(value_type = Option<ScriptType>)]
    script_type: Option<String>,
}

/// List scripts, newest first.
#[utoipa::path(
    get, path = "/v2/{project_id}/scripts", operation_id = "ListScripts", tag = "scripts",
    params(Project, ListQuery),
    responses((status = 200, description = "One page.", body = Scripts)),
)]
pub(crate) async fn list(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Scripts>, ApiError> {
    let page = query::page(SCRIPT_LISTS, query.offset, query.limit)?;
    let script_type = query.script_type.as_deref().map(str::parse).transpose();
    let script_type = script_type.map_err(|error: Error| error.within("type"))?;
    let script_id = match query::text(query.id).as_deref().map(str::parse) {
        Some(Err(_)) => return Ok(Json(Scripts { count: 0, scripts: Vec::new() })),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let filter = ScriptFilter { script_id, name: query::text(query.name), script_type };
    let (count, rows) = control.list_scripts(&caller, &filter, page).await?;
    Ok(Json(Scripts { count, scripts: rows.into_iter().map(Script::listed).collect() }))
}

/// Which revision of a script is shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShowQuery {
    /// The revision that this task ran, instead of the current one.
    script_task_id: Option<String>,
}

/// Show a script with its content.
#[utoipa::path(
    get, path = "/v2/{project_id}/scripts/{script_id}", operation_id = "ShowScriptDetail", tag = "scripts",
    params(Project, ScriptPath, ShowQuery),
    responses((status = 200, description = "The script.", body = Script)),
)]
pub(crate) async fn show(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<ScriptPath>,
    Parameters(query): Parameters<ShowQuery>,
) -> Result<Json<Script>, ApiError> {
    let task_id = query::text(query.script_task_id).map(|text| TaskId::find(&text)).transpose()?;
    let at = task_id.map_or(At::Current, At::PinnedBy);
    Ok(Json(Script::detailed(control.show_script(&caller, path.id()?, at).await?)))
}

/// Save a new revision of a script.
#[utoipa::path(
    put, path = "/v2/{project_id}/scripts/{script_id}", operation_id = "UpdateScript", tag = "scripts",
    params(Project, ScriptPath), request_body = UpdateScript,
    responses((status = 204, description = "It was saved.")),
)]
pub(crate) async fn update(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<ScriptPath>,
    Body(request): Body<UpdateScript>,
) -> Result<StatusCode, ApiError> {
    let script_id = path.id()?;
    let body = ScriptBody::new(request.name, request.content, request.description, request.version)?;
    finished(async move { control.update_script(&caller, script_id, &body).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delete a script. Tasks that run or ran it keep its revisions.
#[utoipa::path(
    delete, path = "/v2/{project_id}/scripts/{script_id}", operation_id = "DeleteScript", tag = "scripts",
    params(Project, ScriptPath),
    responses((status = 204, description = "It was deleted.")),
)]
pub(crate) async fn delete(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<ScriptPath>,
) -> Result<StatusCode, ApiError> {
    let script_id = path.id()?;
    finished(async move { control.delete_script(&caller, script_id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
