//! Scripts and their revisions.

use axum::{Json, extract::Path, http::StatusCode};
use control::{RevisionRow, RevisionSelector, ScriptFilter, ScriptRow, finished};
use domain::{Error, script::ScriptBody};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    pagination::{self, PageQuery},
    time,
};
use crate::{
    dto::{
        Project, ScriptParameter, ScriptPath, ScriptType, declarations, optional_type, required_type,
        script_fields,
    },
    error::ApiError,
    extract::{Authorized, Body, Parameters, query},
};

script_fields! {
    /// Content and metadata of a new script.
    #[serde(deny_unknown_fields)]
    NewScript {
        /// Interpreter; cannot be changed later.
        #[schema(required = true, nullable = false, value_type = ScriptType)]
        script_type,
    }
    with
        /// Parameters that executions may set.
        #[schema(max_items = 32)]
        parameters
}

script_fields! {
    /// New revision of a script. An omitted description or version is cleared; omitted parameters
    /// stay.
    #[serde(deny_unknown_fields)]
    NewRevision {}
    with
        /// Parameters that executions may set.
        #[schema(max_items = 32)]
        parameters
}

/// A revision of a script. `content` is absent from lists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedScript {
    script_id: String,
    name: String,
    description: String,
    #[schema(value_type = ScriptType)]
    script_type: &'static str,
    /// Version label, free text.
    version: String,
    /// Number of the revision, from 1; each save increments it.
    #[schema(minimum = 1)]
    revision: i32,
    /// SHA-256 of the type, a zero byte and the content.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content: Option<String>,
    /// Principal of the first save.
    created_by: String,
    /// Parameters that executions may set.
    parameters: Vec<ScriptParameter>,
    /// Time of the first save.
    #[schema(format = DateTime)]
    create_time: String,
    /// Time at which this revision was saved.
    #[schema(format = DateTime)]
    update_time: String,
}

impl From<ScriptRow> for SavedScript {
    fn from(row: ScriptRow) -> Self {
        Self {
            script_id: row.script_id.to_string(),
            name: row.body.name,
            description: row.body.description,
            script_type: row.script_type.as_str(),
            version: row.body.version,
            revision: row.revision,
            sha256: hex::encode(row.sha256),
            content: Some(row.body.content),
            created_by: row.created_by,
            parameters: row.body.parameters.unwrap_or_default().into_iter().map(Into::into).collect(),
            create_time: time(row.create_time),
            update_time: time(row.update_time),
        }
    }
}

/// One page of scripts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedScripts {
    scripts: Vec<SavedScript>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// Save a new script.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/scripts", operation_id = "SaveScript", tag = "native",
    params(Project), request_body = NewScript,
    responses((status = 200, description = "The first revision of the script.", body = SavedScript)),
)]
pub(crate) async fn create(
    Authorized { control, caller }: Authorized,
    Body(request): Body<NewScript>,
) -> Result<Json<SavedScript>, ApiError> {
    let script_type = required_type(request.script_type.as_deref(), "script_type")?;
    let body = request.body()?;
    let row = finished(async move {
        let script_id = control.create_script(&caller, script_type, &body).await?;
        // A repeated request also returns the first revision, even if the script was saved again
        // since.
        control.script_after(&caller, script_id, RevisionSelector::Revision(1)).await
    })
    .await?;
    Ok(Json(row.into()))
}

/// Filters of scripts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only scripts with exactly this name.
    name: Option<String>,
    /// Only scripts of this type.
    #[param(value_type = Option<ScriptType>)]
    script_type: Option<String>,
}

/// List the newest revision of each script, most recently created first.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/scripts", operation_id = "ListSavedScripts", tag = "native",
    params(Project, PageQuery, ListQuery),
    responses((status = 200, description = "One page.", body = SavedScripts)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Parameters(page): Parameters<PageQuery>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<SavedScripts>, ApiError> {
    let (size, last) = page.read()?;
    let script_type = optional_type(query.script_type.as_deref(), "script_type")?;
    let filter = ScriptFilter { name: query::text(query.name), script_type, ..ScriptFilter::default() };
    let found = control.page_scripts(&caller, &filter, last, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.script_id.to_string());
    let scripts = found.into_iter().map(|row| SavedScript { content: None, ..row.into() });
    Ok(Json(SavedScripts { scripts: scripts.collect(), next_page_token }))
}

/// Revision to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShowQuery {
    /// Number of the revision; default the newest.
    #[param(minimum = 1, maximum = 2147483647)]
    revision: Option<i32>,
}

/// Show a script with its content.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/scripts/{script_id}", operation_id = "GetScript", tag = "native",
    params(Project, ScriptPath, ShowQuery),
    responses((status = 200, description = "The script.", body = SavedScript)),
)]
pub(crate) async fn show(
    Authorized { control, caller }: Authorized,
    Path(path): Path<ScriptPath>,
    Parameters(query): Parameters<ShowQuery>,
) -> Result<Json<SavedScript>, ApiError> {
    let at = match query.revision {
        None => RevisionSelector::Current,
        Some(revision) if revision >= 1 => RevisionSelector::Revision(revision),
        Some(revision) => {
            return Err(Error::out_of_range(
                "revision",
                format!("{revision} is out of range; revisions begin with 1"),
            )
            .into());
        }
    };
    Ok(Json(control.show_script(&caller, path.id()?, at).await?.into()))
}

/// Save a new revision of a script.
#[utoipa::path(
    put, path = "/v1/projects/{project_id}/scripts/{script_id}", operation_id = "PutScript", tag = "native",
    params(Project, ScriptPath), request_body = NewRevision,
    responses((status = 200, description = "The new revision of the script.", body = SavedScript)),
)]
pub(crate) async fn put(
    Authorized { control, caller }: Authorized,
    Path(path): Path<ScriptPath>,
    Body(request): Body<NewRevision>,
) -> Result<Json<SavedScript>, ApiError> {
    let script_id = path.id()?;
    let body = request.body()?;
    let row = finished(async move {
        let revision = control.update_script(&caller, script_id, &body).await?;
        control.script_after(&caller, script_id, RevisionSelector::Revision(revision)).await
    })
    .await?;
    Ok(Json(row.into()))
}

/// Delete a script. Tasks that use it keep its revisions.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/scripts/{script_id}", operation_id = "RemoveScript", tag = "native",
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

/// One page of the revisions of a script.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Revisions {
    revisions: Vec<Revision>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// A revision of a script.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Revision {
    /// Number of the revision, from 1; each save increments it.
    #[schema(minimum = 1)]
    revision: i32,
    /// SHA-256 of the type, a zero byte and the content.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    #[schema(format = DateTime)]
    create_time: String,
}

impl From<RevisionRow> for Revision {
    fn from(row: RevisionRow) -> Self {
        Self { revision: row.revision, sha256: hex::encode(row.sha256), create_time: time(row.create_time) }
    }
}

/// List the revisions of a script, newest first.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/scripts/{script_id}/revisions", operation_id = "ListRevisions",
    tag = "native", params(Project, ScriptPath, PageQuery),
    responses((status = 200, description = "One page.", body = Revisions)),
)]
pub(crate) async fn revisions(
    Authorized { control, caller }: Authorized,
    Path(path): Path<ScriptPath>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Revisions>, ApiError> {
    let (size, before) = query.read()?;
    let found = control.page_revisions(&caller, path.id()?, before, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.revision.to_string());
    Ok(Json(Revisions { revisions: found.into_iter().map(Revision::from).collect(), next_page_token }))
}
