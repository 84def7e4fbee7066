//! CreateScript, ListScripts, ShowScriptDetail, UpdateScript, DeleteScript.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use control::{Control, ScriptFilter, ScriptRow};
use domain::{
    Error,
    ids::{ProjectId, ScriptId, TaskId},
    page::SCRIPT_LISTS,
    script::ScriptBody,
};
use serde::{Deserialize, Serialize};

use super::time;
use crate::{body::Body, error::ApiError, query::Parameters};

/// Body of create and update.
#[derive(Debug, Deserialize)]
pub(crate) struct ScriptRequest {
    name: Option<String>,
    #[serde(rename = "type")]
    script_type: Option<String>,
    content: Option<String>,
    description: Option<String>,
    version: Option<String>,
}

impl ScriptRequest {
    fn body(self) -> Result<ScriptBody, Error> {
        ScriptBody::new(self.name, self.content, self.description, self.version)
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Created {
    script_id: String,
}

/// A script; `content` only in the detail.
#[derive(Debug, Serialize)]
pub(crate) struct Script {
    id: String,
    name: String,
    description: String,
    #[serde(rename = "type")]
    script_type: &'static str,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    create_time: String,
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

#[derive(Debug, Serialize)]
pub(crate) struct Scripts {
    count: i64,
    scripts: Vec<Script>,
}

/// Path parameters of one script.
#[derive(Debug, Deserialize)]
pub(crate) struct ScriptPath {
    script_id: String,
}

impl ScriptPath {
    /// An id that cannot be ours is one that does not exist.
    fn id(&self) -> Result<ScriptId, Error> {
        self.script_id.parse().map_err(|_: Error| Error::not_found("the script does not exist"))
    }
}

pub(crate) async fn create(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    Body(request): Body<ScriptRequest>,
) -> Result<Json<Created>, ApiError> {
    let script_type =
        request.script_type.as_deref().ok_or_else(|| Error::invalid("type is required"))?.parse()?;
    let script_id = control.create_script(&project_id, script_type, &request.body()?).await?;
    Ok(Json(Created { script_id: script_id.to_string() }))
}

pub(crate) async fn list(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    parameters: Parameters,
) -> Result<Json<Scripts>, ApiError> {
    let page = parameters.page(SCRIPT_LISTS)?;
    let script_id = match parameters.one("id").map(str::parse) {
        Some(Err(_)) => return Ok(Json(Scripts { count: 0, scripts: Vec::new() })),
        Some(Ok(id)) => Some(id),
        None => None,
    };
    let filter = ScriptFilter {
        script_id,
        name: parameters.one("name").map(str::to_owned),
        script_type: parameters.one("type").map(str::parse).transpose()?,
    };
    let (count, rows) = control.list_scripts(&project_id, &filter, page).await?;
    Ok(Json(Scripts { count, scripts: rows.into_iter().map(Script::listed).collect() }))
}

pub(crate) async fn show(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    Path(path): Path<ScriptPath>,
    parameters: Parameters,
) -> Result<Json<Script>, ApiError> {
    let task_id = parameters
        .one("script_task_id")
        .map(|text| text.parse::<TaskId>().map_err(|_| Error::not_found("the task does not exist")))
        .transpose()?;
    Ok(Json(Script::detailed(control.show_script(&project_id, path.id()?, task_id).await?)))
}

pub(crate) async fn update(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    Path(path): Path<ScriptPath>,
    Body(request): Body<ScriptRequest>,
) -> Result<StatusCode, ApiError> {
    control.update_script(&project_id, path.id()?, &request.body()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn delete(
    State(control): State<Control>,
    Extension(project_id): Extension<ProjectId>,
    Path(path): Path<ScriptPath>,
) -> Result<StatusCode, ApiError> {
    control.delete_script(&project_id, path.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
