//! Stop requests: single targets that a person stops, and all running targets of a task that is
//! being killed.

use std::collections::HashMap;

use domain::{
    Timestamp,
    ids::{TaskId, WorkerId},
};

use crate::{
    Connection, Error,
    codec::{count, int2, int4},
};

/// Stores stops of targets, each from a script on. Of several stops of a target the earliest script
/// wins.
pub(crate) async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    stops: &[(u32, u16)],
    now: Timestamp,
) -> Result<(), Error> {
    if stops.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO target_stop (task_id, ordinal, script, created_at)
         SELECT $1, ordinal, script, $4 FROM unnest($2::int4[], $3::int2[]) AS n (ordinal, script)
         ON CONFLICT (task_id, ordinal) DO UPDATE SET script = least(target_stop.script, excluded.script)",
        task_id.0,
        &stops.iter().map(|(ordinal, _)| int4(*ordinal)).collect::<Vec<_>>(),
        &stops.iter().map(|(_, script)| int2(*script)).collect::<Vec<_>>(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the stops of `number` ordinals from `first` on, each with its script.
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

/// A stopped target that a worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Task of the target.
    pub task_id: TaskId,
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Attempt of its records.
    pub attempt: u16,
    /// Script from which on the target is stopped.
    pub script: u16,
}

/// Lists at most `limit` stopped targets that a worker holds and that have not ended.
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
