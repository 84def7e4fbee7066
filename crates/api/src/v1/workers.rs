//! Workers.

use axum::Json;
use control::WorkerRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::time;
use crate::{dto::Project, error::ApiError, extract::Authorized};

/// All workers: there are few.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

/// A worker. It serves every project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Worker {
    worker_id: String,
    /// Where agents reach it.
    address: String,
    /// Targets that it is willing to hold at once.
    capacity: u32,
    /// It takes no more work.
    draining: bool,
    /// Desktops whose connection it holds.
    desktops: u32,
    #[schema(format = DateTime)]
    last_heartbeat_time: String,
}

impl From<WorkerRow> for Worker {
    fn from(row: WorkerRow) -> Self {
        Self {
            worker_id: row.worker_id.into_string(),
            address: row.address,
            capacity: row.capacity,
            draining: row.draining,
            desktops: row.desktops,
            last_heartbeat_time: time(row.last_heartbeat_at),
        }
    }
}

/// List the workers that are known.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/workers", operation_id = "ListWorkers", tag = "native",
    params(Project),
    responses((status = 200, description = "All of them.", body = Workers)),
)]
pub(crate) async fn list(Authorized { control, caller }: Authorized) -> Result<Json<Workers>, ApiError> {
    let rows = control.list_workers(&caller).await?;
    Ok(Json(Workers { workers: rows.into_iter().map(Worker::from).collect() }))
}
