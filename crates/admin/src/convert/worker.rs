//! Conversions of the worker service between proto and domain.

use control::WorkerRow;
use proto::{admin::Worker, time};

use super::value::text;

pub(crate) fn worker(row: WorkerRow) -> Worker {
    Worker {
        worker_id: row.worker_id.into_string(),
        address: row.address,
        capacity: row.capacity,
        draining: row.draining,
        drain_requested: row.drain_requested_by.is_some(),
        drain_requested_by: text(row.drain_requested_by),
        desktops: row.desktops,
        last_heartbeat_time: time(Some(row.last_heartbeat_at)),
    }
}
