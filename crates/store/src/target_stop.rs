//! What is to be stopped: the targets that a person stops one by one, and, of a task that is being killed, all that
//! run.

use std::collections::HashMap;

use domain::{
    Timestamp,
    ids::{TaskId, WorkerId},
};

use crate::{
    Connection, Error,
    values::{count, int2, int4},
};

/// Notes that a target is to be stopped from a script on; of several such wishes the earliest place wins. Marks its
/// batch, if it is in one, so that the worker which holds it is told.
pub async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    ordinal: u32,
    script: u16,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO target_stop (task_id, ordinal, script, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (task_id, ordinal) DO UPDATE SET script = least(target_stop.script, excluded.script)",
        task_id.0,
        int4(ordinal),
        int2(script),
        now,
    )
    .execute(&mut *connection)
    .await?;
    for _ in 0..PASSES {
        sqlx::query!(
            "UPDATE batch SET stop = true WHERE task_id = $1 AND $2 = ANY(ordinals) AND NOT stop",
            task_id.0,
            int4(ordinal)
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// A lease that is just splitting a batch hides its part from the first pass, which waits for it; the second one sees it.
const PASSES: usize = 2;

/// Marks every batch of a task that is being killed.
pub async fn mark_task(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    for _ in 0..PASSES {
        // In the order in which leases are renewed.
        sqlx::query!(
            "UPDATE batch b SET stop = true
             FROM (SELECT batch_id FROM batch WHERE task_id = $1 AND NOT stop ORDER BY batch_id FOR UPDATE) AS running
             WHERE b.task_id = $1 AND b.batch_id = running.batch_id",
            task_id.0
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Which of the ordinals from `first` on, `number` of them, are to be stopped, each with the script.
pub async fn of_range(
    connection: &mut Connection,
    task_id: TaskId,
    first: u32,
    number: u32,
) -> Result<HashMap<u32, u16>, Error> {
    let rows = sqlx::query!(
        "SELECT ordinal, script FROM target_stop WHERE task_id = $1 AND ordinal >= $2 AND ordinal < $2 + $3",
        task_id.0,
        int4(first),
        int4(number),
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok((count("target_stop", row.ordinal)?, count("target_stop", row.script)?)))
        .collect()
}

/// A target in a worker's hands that is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Its task.
    pub task_id: TaskId,
    /// Its place in the plan.
    pub ordinal: u32,
    /// Of its records.
    pub attempt: u16,
    /// The script from which on it is stopped.
    pub script: u16,
}

/// What a worker holds and is to be stopped, without what has ended; at most `limit` targets.
pub async fn of_worker(
    connection: &mut Connection,
    worker_id: &WorkerId,
    limit: i64,
) -> Result<Vec<Stop>, Error> {
    let rows = sqlx::query!(
        r#"SELECT b.task_id, o AS "ordinal!", k.attempt, CASE WHEN k.killing THEN 0 ELSE x.script END AS "script!"
           FROM batch b
           JOIN task k USING (task_id)
           CROSS JOIN LATERAL unnest(b.ordinals) AS o
           LEFT JOIN target_stop x ON x.task_id = b.task_id AND x.ordinal = o
           WHERE b.worker_id = $1 AND b.stop AND b.status = 'LEASED' AND (k.killing OR x.script IS NOT NULL)
             AND NOT EXISTS (SELECT FROM record r WHERE r.task_id = b.task_id AND r.ordinal = o)
           LIMIT $2"#,
        worker_id.as_str(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Stop {
                task_id: TaskId(row.task_id),
                ordinal: count("batch", row.ordinal)?,
                attempt: count("task", row.attempt)?,
                script: count("target_stop", row.script)?,
            })
        })
        .collect()
}

/// Deletes what is left of a task that ended.
pub async fn delete_of_task(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    sqlx::query!("DELETE FROM target_stop WHERE task_id = $1", task_id.0).execute(connection).await?;
    Ok(())
}
