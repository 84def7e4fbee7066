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
    dto::{Project, ScriptPath, ScriptType, script_fields},
    error::ApiError,
    extract::{Authorized, Body, Parameters, query},
};

script_fields! {
    /// What a new script holds.
    #[serde(deny_unknown_fields)]
    NewScript {
        /// Never changes.
        #[schema(required = true, nullable = false, value_type = ScriptType)]
        script_type,
    }
}

script_fields! {
    /// What replaces a script: a description or version that is left out is cleared.
    #[serde(deny_unknown_fields)]
    NewRevision {}
}

/// A script at one of its revisions; `content` not in lists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedScript {
    script_id: String,
    name: String,
    description: String,
    #[schema(value_type = ScriptType)]
    script_type: &'static str,
    /// Free text given by whoever saved it.
    version: String,
    /// From 1, one more with each save.
    #[schema(minimum = 1)]
    revision: i32,
    /// SHA-256 over the type, a zero byte and the content.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    content: Option<String>,
    /// First save.
    #[schema(format = DateTime)]
    create_time: String,
    /// When this revision was saved.
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
            create_time: time(row.create_time),
            update_time: time(row.update_time),
        }
    }
}

/// One page of scripts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedScripts {
    scripts: Vec<SavedScript>,
    /// `null` on the last page.
    next_page_token: Option<String>,
}

/// Save a new script.
#[utoipa::path(
    post, path = "/v1/projects/{project_id}/scripts", operation_id = "SaveScript", tag = "native",
    params(Project), request_body = NewScript,
    responses((status = 200, description = "The script at its first revision.", body = SavedScript)),
)]
pub(crate) async fn create(
    Authorized { control, caller }: Authorized,
    Body(request): Body<NewScript>,
) -> Result<Json<SavedScript>, ApiError> {
    let script_type = request
        .script_type
        .as_deref()
        .ok_or_else(|| Error::required("script_type", "a script needs a type: POWERSHELL, BAT or SHELL"))?;
    let script_type = script_type.parse().map_err(|error: Error| error.within("script_type"))?;
    let body = request.body()?;
    let row = finished(async move {
        let script_id = control.create_script(&caller, script_type, &body).await?;
        // Also when it is answered again, and was saved anew in between.
        control.script_after(&caller, script_id, RevisionSelector::Revision(1)).await
    })
    .await?;
    Ok(Json(row.into()))
}

/// Which scripts are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only scripts of exactly this name.
    name: Option<String>,
    /// Only scripts of this type.
    #[param(value_type = Option<ScriptType>)]
    script_type: Option<String>,
}

/// List scripts at their newest revision, those that were made last first.
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
    let script_type = query.script_type.as_deref().map(str::parse).transpose();
    let script_type = script_type.map_err(|error: Error| error.within("script_type"))?;
    let filter = ScriptFilter { script_id: None, name: query::text(query.name), script_type };
    let found = control.page_scripts(&caller, &filter, last, size).await?;
    let next_page_token = pagination::next(&found, size, |row| row.script_id.to_string());
    let scripts = found.into_iter().map(|row| SavedScript { content: None, ..row.into() });
    Ok(Json(SavedScripts { scripts: scripts.collect(), next_page_token }))
}

/// Which revision of a script is shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShowQuery {
    /// The revision of this number, instead of the newest.
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
                format!("{revision} is out of range: revisions begin with 1"),
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
    responses((status = 200, description = "The script at its new revision.", body = SavedScript)),
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

/// Delete a script. Tasks that run or ran it keep its revisions.
#[utoipa::path(
    delete, path = "/v1/projects/{project_id}/scripts/{script_id}", operation_id = "RemoveScript", tag = "native",
    params(Project, ScriptPath),
    responses((status = 204, description = "It was deleted.")),
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
    /// `null` on the last page.
    next_page_token: Option<String>,
}

/// A revision of a script.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Revision {
    /// From 1, one more with each save.
    #[schema(minimum = 1)]
    revision: i32,
    /// SHA-256 over the type, a zero byte and the content.
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
