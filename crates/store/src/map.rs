//! The map of a task: one code for each target, from a fixed number of statements.

use domain::{
    ids::{ProjectId, TaskId},
    map::MapParts,
    task::TaskStatus,
};

use crate::{
    Connection, Error,
    codec::{count, word},
};

/// Size and version of a task's map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapHead {
    /// Number of targets.
    pub size: u32,
    /// Status of the task.
    pub status: TaskStatus,
    /// Position in the changes of the map; 0 before the first one, and some time after the end.
    pub version: i64,
}

/// Reads size and version of a task's map; `None` if the project has no such task.
pub async fn head(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
) -> Result<Option<MapHead>, Error> {
    let row = sqlx::query!(
        r#"SELECT k.target_count, k.status,
                  coalesce((SELECT max(c.version) FROM task_change c WHERE c.task_id = k.task_id), 0) AS "version!"
           FROM task k WHERE k.task_id = $1 AND k.project_id = $2"#,
        task_id.0,
        project_id.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(MapHead {
            size: count("task", row.target_count)?,
            status: word("task", &row.status)?,
            version: row.version,
        })
    })
    .transpose()
}

/// Reads the parts of a map. Its statements must see one moment ([`crate::snapshot`]).
pub async fn parts(connection: &mut Connection, task_id: TaskId) -> Result<MapParts, Error> {
    let batches = sqlx::query_scalar!(
        r#"SELECT ordinals AS "ordinals!" FROM batch WHERE task_id = $1
           UNION ALL SELECT array_agg(ordinal) FROM awaited_return WHERE task_id = $1 AND NOT resumed
           HAVING count(*) > 0"#,
        task_id.0
    )
    .fetch_all(&mut *connection)
    .await?;
    let deferred = sqlx::query_scalar!(
        r#"SELECT coalesce(array_agg(ordinal), '{}') AS "ordinals!" FROM deferred_target WHERE task_id = $1"#,
        task_id.0
    )
    .fetch_one(&mut *connection)
    .await?;
    // Only the first script may decide with a success: later successes overrule nothing.
    let records = sqlx::query!(
        r#"SELECT script, outcome::text AS "outcome!", array_agg(ordinal) AS "ordinals!"
           FROM record WHERE task_id = $1 AND (script = 0 OR outcome <> 'SUCCESS') GROUP BY script, outcome"#,
        task_id.0
    )
    .fetch_all(&mut *connection)
    .await?;
    let ordinals = |list: Vec<i32>| {
        list.into_iter().map(|ordinal| count("record", ordinal)).collect::<Result<Vec<u32>, Error>>()
    };
    Ok(MapParts {
        in_batches: ordinals(batches.into_iter().flatten().collect())?,
        deferred: ordinals(deferred)?,
        records: records
            .into_iter()
            .map(|row| {
                Ok((count("record", row.script)?, word("record", &row.outcome)?, ordinals(row.ordinals)?))
            })
            .collect::<Result<_, Error>>()?,
    })
}
