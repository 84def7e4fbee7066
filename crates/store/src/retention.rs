//! What is over its age: the tasks of old months, with everything that hangs on them but their targets and records, which go
//! with their partitions.

use std::time::Duration;

use domain::{
    ids::TaskId,
    retention::{Cutoff, Month},
};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::{Connection, Error, Store};

/// Any number: one process at a time lets things go.
const LOCK: i64 = 0x6772_6179_0002;
/// A partition that is detached waits so long for transactions that have read its table.
const OTHERS_WITHIN: Duration = Duration::from_secs(30);
/// A lock is waited for so long.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// A connection to let things go on; none while another process is at it. It is none of the pool's any more: nobody waits for
/// it, and with it end its lock and its settings, also where its holder was stopped in the middle.
pub async fn exclusive(store: &Store) -> Result<Option<Connection>, Error> {
    let mut connection = store.acquire().await?.detach();
    let mine = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "mine!""#, LOCK)
        .fetch_one(&mut connection)
        .await?;
    if !mine {
        return Ok(None);
    }
    sqlx::query!(
        "SELECT set_config('statement_timeout', $1, false) AS statement, set_config('lock_timeout', $2, false) AS lock",
        OTHERS_WITHIN.as_millis().to_string(),
        LOCK_WITHIN.as_millis().to_string(),
    )
    .fetch_one(&mut connection)
    .await?;
    Ok(Some(connection))
}

/// Tasks that may go, oldest first: all of their month is over its age, and they ended as long ago. What retries a task goes
/// after it: as long as that is there, it must be known what was retried already.
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

/// Deletes tasks that have ended, in a transaction of its own. A late report has their waves, who retries one of them its own
/// row: both are waited for.
pub async fn delete_tasks(connection: &mut Connection, task_ids: &[TaskId]) -> Result<(), Error> {
    let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
    let mut tx = connection.begin().await?;
    sqlx::query!("SELECT FROM wave WHERE task_id = ANY($1) ORDER BY task_id, wave FOR UPDATE", &ids)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("DELETE FROM failure_group WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    // Of a task that has ended there are none. Should there be any, they go as well: nobody would find them again.
    sqlx::query!("DELETE FROM deferred_target WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM batch WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM target_stop WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM task_event WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM task_script WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM wave WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM task WHERE task_id = ANY($1)", &ids).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Whether a task of a month is there: it runs, or has not ended for long enough.
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
