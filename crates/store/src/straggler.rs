//! Stragglers: targets that are past half of their deadline without a result.

use std::collections::HashMap;

use domain::{Timestamp, ids::TaskId, limits::MAX_STRAGGLERS_COUNTED};
use uuid::Uuid;

use crate::{Connection, Error, codec::count};

/// Counts the stragglers of tasks, of deferred targets up to [`MAX_STRAGGLERS_COUNTED`]. Omits
/// tasks without any. Targets of paused tasks, and those whose window is closed, do not count.
pub async fn count_by_task(
    connection: &mut Connection,
    task_ids: &[TaskId],
    now: Timestamp,
) -> Result<HashMap<TaskId, u32>, Error> {
    let ids: Vec<Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT task_id AS "task_id!", sum(number)::int8 AS "number!" FROM (
               SELECT b.task_id, greatest(cardinality(b.ordinals) - b.reported, 0) AS number FROM batch b
               WHERE b.task_id = ANY($1) AND NOT b.suspended
                 AND b.created_at + (CASE b.status WHEN 'READY' THEN b.deliver_by ELSE b.finish_by END - b.created_at) / 2
                     <= $2
               UNION ALL
               (SELECT s.task_id, 1 FROM deferred_target s JOIN task k USING (task_id)
                WHERE s.task_id = ANY($1) AND NOT s.suspended AND (s.not_before IS NULL OR s.not_before <= $2)
                  AND s.deliver_by - k.delivery_timeout_ms / 2 * interval '1 millisecond' <= $2
                LIMIT $3)) AS late
           GROUP BY task_id HAVING sum(number) > 0"#,
        &ids,
        now,
        MAX_STRAGGLERS_COUNTED,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((TaskId(row.task_id), count("batch", row.number)?))).collect()
}
