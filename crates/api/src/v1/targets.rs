//! Targets of a task: the whole plan, including waves that are not open yet.

use axum::{Json, extract::Path};
use control::ListedTarget;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    pagination::{self, PageQuery},
    tasks::TaskPath,
};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Parameters},
};

/// One page of targets.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Targets {
    targets: Vec<Target>,
    /// Token of the next page; `null` on the last page.
    next_page_token: Option<String>,
}

/// Position of a desktop in the plan.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Target {
    /// Position in the plan, from 0.
    ordinal: u32,
    desktop_id: String,
    /// Number of the wave, from 1.
    wave: u16,
    /// Position of the first script to run. Earlier scripts succeeded in the retried task and do
    /// not run again.
    first_script: u16,
}

impl From<ListedTarget> for Target {
    fn from(row: ListedTarget) -> Self {
        let ListedTarget { ordinal, desktop_id, wave, first_script } = row;
        Self { ordinal, desktop_id, wave, first_script }
    }
}

/// List a task's targets in plan order.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/targets", operation_id = "ListTargets", tag = "native",
    params(Project, TaskPath, PageQuery),
    responses((status = 200, description = "One page.", body = Targets)),
)]
pub(crate) async fn list(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Targets>, ApiError> {
    let (size, after) = query.read()?;
    let found = control.page_targets(&caller, path.id()?, after, size).await?;
    let next_page_token = pagination::next(&found, size, |target| target.ordinal.to_string());
    Ok(Json(Targets { targets: found.into_iter().map(Target::from).collect(), next_page_token }))
}
