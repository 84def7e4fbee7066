//! Workers: known by their heartbeats.

use domain::{Timestamp, ids::WorkerId};

use crate::{
    Connection, Error,
    codec::{count, int4, text_id},
};

/// A worker as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// One run of a worker process.
    pub worker_id: WorkerId,
    /// Where agents reach it.
    pub address: String,
    /// Targets it is willing to hold.
    pub capacity: u32,
    /// It takes no more work.
    pub draining: bool,
    /// Last heartbeat.
    pub last_heartbeat_at: Timestamp,
    /// Desktops whose connection it holds.
    pub desktops: u32,
    /// Who wants it to drain, where somebody does.
    pub drain_requested_by: Option<String>,
}

/// What a worker that is heard of must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// It was not known (any more): it must tell its presence again.
    pub is_new: bool,
    /// Somebody wants it to take no more work.
    pub drain: bool,
}

/// Stores a heartbeat. A worker that is wanted to drain counts as draining before it says so itself.
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

/// Wants a worker to take no more work, from now on; `None`: wants that no more. False when there is no such worker. It stays
/// as draining until it says itself that it works again.
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

/// Workers that were last heard of before a moment.
pub async fn silent_since(connection: &mut Connection, moment: Timestamp) -> Result<Vec<WorkerId>, Error> {
    let ids = sqlx::query_scalar!("SELECT worker_id FROM worker WHERE last_heartbeat_at < $1", moment)
        .fetch_all(connection)
        .await?;
    ids.into_iter().map(|id| text_id("worker", id)).collect()
}

/// Forgets a worker, if it was last heard of before a moment (`None`: in any case). True when it did.
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

/// All workers by id.
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

/// Whether a worker is known; keeps it so until the transaction ends.
pub async fn lock_known(connection: &mut Connection, worker_id: &WorkerId) -> Result<bool, Error> {
    let row = sqlx::query_scalar!(
        "SELECT worker_id FROM worker WHERE worker_id = $1 FOR SHARE",
        worker_id.as_str()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}
