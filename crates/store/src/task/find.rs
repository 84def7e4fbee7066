//! Task queries for loops, limits and freezes.

use domain::{
    Timestamp,
    ids::{ProjectId, TaskId},
};

use crate::{Connection, Error, codec::count};

/// Lists the tasks of a project that have not ended, in lock order.
pub async fn unended(connection: &mut Connection, project_id: &ProjectId) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT task_id FROM task
         WHERE project_id = $1 AND status IN ('WAITING', 'RUNNING', 'HALTING', 'STOPPING') ORDER BY task_id",
        project_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Counts the tasks of a project that have not ended, up to `most`.
pub async fn count_open(
    connection: &mut Connection,
    project_id: &ProjectId,
    most: u32,
) -> Result<u32, Error> {
    let number = sqlx::query_scalar!(
        r#"SELECT count(*) AS "number!" FROM (
               SELECT FROM task WHERE project_id = $1 AND ended_at IS NULL LIMIT $2) AS open"#,
        project_id.as_str(),
        i64::from(most),
    )
    .fetch_one(connection)
    .await?;
    count("task", number)
}

/// Lists tasks after an id that may admit targets. Such a task has a next wave with met start
/// conditions, or an open wave whose cursor is not at its end.
pub async fn admissible(
    connection: &mut Connection,
    after: Option<TaskId>,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT k.task_id FROM task k
           WHERE k.status IN ('WAITING', 'RUNNING') AND ($2::uuid IS NULL OR k.task_id > $2)
             AND k.paused_at IS NULL AND NOT EXISTS (SELECT FROM project_freeze f WHERE f.project_id = k.project_id)
             AND (
                 EXISTS (SELECT FROM wave w WHERE w.task_id = k.task_id AND w.status = 'OPEN' AND w.cursor < w.size)
                 OR EXISTS (
                     SELECT FROM (SELECT * FROM wave w WHERE w.task_id = k.task_id AND w.status <> 'CLOSED'
                                  ORDER BY w.wave LIMIT 1) AS next
                     WHERE next.status = 'PENDING' AND (next.opens_at IS NULL OR next.opens_at <= $3)
                       AND (next.approved_at IS NOT NULL OR NOT next.needs_approval AND next.hold_until IS NULL)))
           ORDER BY k.task_id LIMIT $1"#,
        limit,
        after.map(|task_id| task_id.0),
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Lists the tasks of a project that may still admit targets, in lock order.
pub(crate) async fn admitting(
    connection: &mut Connection,
    project_id: &ProjectId,
) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT task_id FROM task WHERE project_id = $1 AND status IN ('WAITING', 'RUNNING') ORDER BY task_id",
        project_id.as_str()
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Lists tasks that are not stopped yet, although their `expires_at` or the end of a hold without
/// evidence has passed.
pub(crate) async fn expired(
    connection: &mut Connection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT due.task_id AS "task_id!" FROM (
               SELECT task_id, expires_at AS since FROM task
               WHERE expires_at <= $1 AND ended_at IS NULL AND status IN ('WAITING', 'RUNNING')
               UNION
               SELECT k.task_id, w.hold_until FROM wave w JOIN task k USING (task_id)
               WHERE w.hold_until <= $1 AND w.status = 'PENDING' AND w.approved_at IS NULL
                 AND k.status IN ('WAITING', 'RUNNING')) AS due
           ORDER BY due.since LIMIT $2"#,
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Lists tasks of frozen projects that are not fully suspended, because the freezing process died.
pub(crate) async fn not_suspended(connection: &mut Connection, limit: i64) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT k.task_id FROM project_freeze f JOIN task k USING (project_id)
         WHERE k.status IN ('WAITING', 'RUNNING')
           AND (EXISTS (SELECT FROM batch b WHERE b.task_id = k.task_id AND b.status = 'READY' AND NOT b.suspended)
                OR EXISTS (SELECT FROM deferred_target s WHERE s.task_id = k.task_id AND NOT s.suspended))
         LIMIT $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Finds tasks with suspended work that are neither paused nor of a frozen project.
pub(crate) async fn not_released(connection: &mut Connection, limit: i64) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT k.task_id FROM task k
         WHERE k.status IN ('WAITING', 'RUNNING') AND k.paused_at IS NULL
           AND NOT EXISTS (SELECT FROM project_freeze f WHERE f.project_id = k.project_id)
           -- The order makes the planner use the indexes of suspended rows, however many there are.
           AND coalesce(
               (SELECT true FROM batch b WHERE b.task_id = k.task_id AND b.suspended ORDER BY b.deliver_by LIMIT 1),
               (SELECT true FROM deferred_target s WHERE s.task_id = k.task_id AND s.suspended
                ORDER BY s.deliver_by LIMIT 1), false)
         LIMIT $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}
