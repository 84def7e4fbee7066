//! Numbers of tasks, targets, desktops and workers, for metrics of the whole cluster.

use uuid::Uuid;

use crate::{Connection, Error, codec::count};

/// Numbers at one moment, over all projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Tasks that have not ended.
    pub tasks_open: u64,
    /// Targets in ready batches, which no worker has pulled.
    pub targets_ready: u64,
    /// Targets in leased batches.
    pub targets_leased: u64,
    /// Deferred targets.
    pub targets_waiting: u64,
    /// Connected desktops.
    pub desktops_connected: u64,
    /// Workers that accept work.
    pub workers: u64,
    /// Draining workers.
    pub workers_draining: u64,
    /// Oldest audit entry that waits for its seal, as a UUIDv7; `None` without one.
    pub oldest_unsealed: Option<Uuid>,
}

/// Counts all of them in one statement.
pub async fn read(connection: &mut Connection) -> Result<Gauges, Error> {
    let row = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM task WHERE ended_at IS NULL) AS "tasks!",
                  (SELECT coalesce(sum(cardinality(ordinals)), 0)::int8 FROM batch WHERE status = 'READY') AS "ready!",
                  (SELECT coalesce(sum(cardinality(ordinals)), 0)::int8 FROM batch WHERE status = 'LEASED') AS "leased!",
                  (SELECT count(*) FROM deferred_target) AS "waiting!",
                  (SELECT coalesce(sum(number), 0)::int8 FROM (
                      SELECT number FROM project_count WHERE kind = 'DESKTOP'
                      UNION ALL SELECT number FROM project_count_change WHERE kind = 'DESKTOP') AS connected) AS "desktops!",
                  (SELECT count(*) FROM worker WHERE NOT draining) AS "workers!",
                  (SELECT count(*) FROM worker WHERE draining) AS "draining!",
                  (SELECT audit_id FROM audit_unsealed ORDER BY audit_id LIMIT 1) AS oldest_unsealed"#
    )
    .fetch_one(connection)
    .await?;
    Ok(Gauges {
        tasks_open: count("task", row.tasks)?,
        targets_ready: count("batch", row.ready)?,
        targets_leased: count("batch", row.leased)?,
        targets_waiting: count("deferred_target", row.waiting)?,
        desktops_connected: count("desktop", row.desktops)?,
        workers: count("worker", row.workers)?,
        workers_draining: count("worker", row.draining)?,
        oldest_unsealed: row.oldest_unsealed,
    })
}
