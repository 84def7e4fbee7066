//! Workers of the cluster.

use axum::Json;
use control::WorkerRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::time;
use crate::{dto::Project, error::ApiError, extract::Authorized};

/// All workers, on one page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
}

/// A worker. Each worker serves all projects.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Worker {
    worker_id: String,
    /// Address that agents connect to.
    address: String,
    /// Maximum number of targets that the worker leases at the same time.
    capacity: u32,
    /// Whether the worker drains and takes no further work.
    draining: bool,
    /// Number of connected desktops.
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

/// List the known workers.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/workers", operation_id = "ListWorkers", tag = "native",
    params(Project),
    responses((status = 200, description = "All workers.", body = Workers)),
)]
pub(crate) async fn list(Authorized { control, caller }: Authorized) -> Result<Json<Workers>, ApiError> {
    let rows = control.list_workers(&caller).await?;
    Ok(Json(Workers { workers: rows.into_iter().map(Worker::from).collect() }))
}
