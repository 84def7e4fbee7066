//! Retention: deletes the tasks of expired months with all their rows. Targets and records are
//! dropped with their partitions.

use std::time::Duration;

use domain::{
    ids::TaskId,
    retention::{Cutoff, Month},
};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::{Connection, Error, Store, newest_record};

/// Arbitrary id of the advisory lock that allows one retention process at a time.
const LOCK: i64 = 0x6772_6179_0002;
/// Maximum time that a detach waits for transactions that read the table.
const OTHERS_WITHIN: Duration = Duration::from_secs(30);
/// Maximum time that a statement waits for a lock.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// Returns a connection for retention; `None` while another process holds the retention lock. When
/// the connection closes, its lock ends with it, even if its owner was interrupted.
pub async fn exclusive(store: &Store) -> Result<Option<Connection>, Error> {
    let mut connection = patient(store).await?;
    let mine = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "mine!""#, LOCK)
        .fetch_one(&mut connection)
        .await?;
    Ok(mine.then_some(connection))
}

/// Returns a connection that waits longer for other transactions than the work of callers. It is
/// detached from the pool, and its settings end with it.
pub async fn patient(store: &Store) -> Result<Connection, Error> {
    let mut connection = store.acquire().await?.detach();
    sqlx::query!(
        "SELECT set_config('statement_timeout', $1, false) AS statement, set_config('lock_timeout', $2, false) AS lock",
        OTHERS_WITHIN.as_millis().to_string(),
        LOCK_WITHIN.as_millis().to_string(),
    )
    .fetch_one(&mut connection)
    .await?;
    Ok(connection)
}

/// Lists tasks to delete, oldest first: their whole month is over the retention age, and they ended
/// before the cutoff. A retry is deleted before its original task, because it records which targets
/// were already retried.
pub async fn over_age(connection: &mut Connection, cutoff: Cutoff, limit: i64) -> Result<Vec<TaskId>, Error> {
    let ids = sqlx::query_scalar!(
        "SELECT task_id FROM task k
         WHERE task_id < $1 AND ended_at < $2
           AND NOT EXISTS (SELECT FROM task retried WHERE retried.task_id = k.retry_of)
         ORDER BY task_id LIMIT $3",
        cutoff.first_kept_id(),
        cutoff.moment(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TaskId).collect())
}

/// Deletes ended tasks in a separate transaction. Waits for late reports, which lock their waves,
/// and for retries, which lock their rows. Waits for projections before it holds any other lock.
pub async fn delete_tasks(connection: &mut Connection, task_ids: &[TaskId]) -> Result<(), Error> {
    let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
    let mut tx = connection.begin().await?;
    newest_record::lock_projects(&mut tx, &ids).await?;
    sqlx::query!("SELECT FROM wave WHERE task_id = ANY($1) ORDER BY task_id, wave FOR UPDATE", &ids)
        .execute(&mut *tx)
        .await?;
    newest_record::delete(&mut tx, &ids).await?;
    sqlx::query!("DELETE FROM failure_group WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    // An ended task has none of these rows. The deletes are a safeguard, because no later statement
    // would find them.
    sqlx::query!("DELETE FROM deferred_target WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM awaited_return WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM batch WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM target_stop WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM task_change WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM task_event WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM task_script WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM wave WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM task WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Returns whether a month still has a task, either running or not past the retention age.
pub async fn has_tasks(connection: &mut Connection, month: Month) -> Result<bool, Error> {
    let ids = month.ids();
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM task WHERE task_id >= $1 AND task_id < $2) AS "there!""#,
        ids.start,
        ids.end,
    )
    .fetch_one(connection)
    .await?)
}
