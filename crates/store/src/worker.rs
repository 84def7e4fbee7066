//! Workers: known by their heartbeats.

use domain::{Timestamp, ids::WorkerId};

use crate::{
    Connection, Error,
    codec::{count, int4, text_id},
};

/// A worker in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Id of one run of a worker process.
    pub worker_id: WorkerId,
    /// Address at which agents reach the worker.
    pub address: String,
    /// Maximum number of targets that the worker accepts.
    pub capacity: u32,
    /// Whether the worker accepts no more work.
    pub draining: bool,
    /// Time of the last heartbeat.
    pub last_heartbeat_at: Timestamp,
    /// Number of desktops whose connection the worker holds.
    pub desktops: u32,
    /// Actor that requested the drain; `None` without a request.
    pub drain_requested_by: Option<String>,
}

/// Answer to a worker's heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Whether the worker was unknown, or had been removed: it must report its presence again.
    pub is_new: bool,
    /// Whether a drain is requested.
    pub drain: bool,
}

/// Stores a heartbeat. A worker with a drain request counts as draining before it reports the
/// drain.
pub async fn record_heartbeat(
    connection: &mut Connection,
    worker_id: &WorkerId,
    address: &str,
    capacity: u32,
    draining: bool,
    now: Timestamp,
) -> Result<Heard, Error> {
    Ok(sqlx::query_as!(
        Heard,
        r#"INSERT INTO worker (worker_id, address, capacity, draining, created_at, last_heartbeat_at)
           VALUES ($1, $2, $3, $4, $5, $5)
           ON CONFLICT (worker_id) DO UPDATE SET
               address = excluded.address, capacity = excluded.capacity,
               draining = excluded.draining OR worker.drain_requested_at IS NOT NULL, last_heartbeat_at = excluded.last_heartbeat_at
           RETURNING (xmax = 0) AS "is_new!", drain_requested_at IS NOT NULL AS "drain!""#,
        worker_id.as_str(),
        address,
        int4(capacity),
        draining,
        now,
    )
    .fetch_one(connection)
    .await?)
}

/// Requests that a worker drains, or cancels the request (`None`). Returns false if the worker is
/// unknown. After a cancellation it counts as draining until it reports that it accepts work.
pub async fn want_drain(
    connection: &mut Connection,
    worker_id: &WorkerId,
    wanted: Option<(&str, Timestamp)>,
) -> Result<bool, Error> {
    let (by, at) = wanted.unzip();
    let done = sqlx::query!(
        "UPDATE worker SET drain_requested_by = $2, drain_requested_at = $3, draining = draining OR $3::timestamptz IS NOT NULL
         WHERE worker_id = $1",
        worker_id.as_str(),
        by,
        at,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lists workers whose last heartbeat is before a given time.
pub async fn silent_since(connection: &mut Connection, moment: Timestamp) -> Result<Vec<WorkerId>, Error> {
    let ids = sqlx::query_scalar!("SELECT worker_id FROM worker WHERE last_heartbeat_at < $1", moment)
        .fetch_all(connection)
        .await?;
    ids.into_iter().map(|id| text_id("worker", id)).collect()
}

/// Deletes a worker whose last heartbeat is before a given time (`None`: unconditionally). Returns
/// whether it was deleted.
pub async fn delete(
    connection: &mut Connection,
    worker_id: &WorkerId,
    last_heartbeat_before: Option<Timestamp>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "DELETE FROM worker WHERE worker_id = $1 AND ($2::timestamptz IS NULL OR last_heartbeat_at < $2)",
        worker_id.as_str(),
        last_heartbeat_before,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lists all workers by id.
pub async fn list(connection: &mut Connection) -> Result<Vec<WorkerRow>, Error> {
    let rows = sqlx::query!(
        r#"SELECT w.worker_id, w.address, w.capacity, w.draining, w.last_heartbeat_at, w.drain_requested_by,
                  (SELECT count(*) FROM desktop d WHERE d.worker_id = w.worker_id) AS "desktops!"
           FROM worker w ORDER BY w.worker_id"#
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(WorkerRow {
                worker_id: text_id("worker", row.worker_id)?,
                address: row.address,
                capacity: count("worker", row.capacity)?,
                draining: row.draining,
                last_heartbeat_at: row.last_heartbeat_at,
                desktops: count("worker", row.desktops)?,
                drain_requested_by: row.drain_requested_by,
            })
        })
        .collect()
}

/// Returns whether a worker is registered, and keeps it registered until the transaction ends.
pub async fn lock_known(connection: &mut Connection, worker_id: &WorkerId) -> Result<bool, Error> {
    let row = sqlx::query_scalar!(
        "SELECT worker_id FROM worker WHERE worker_id = $1 FOR SHARE",
        worker_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}
