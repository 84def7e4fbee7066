//! Started scripts of the targets in leased batches, one for each target, as a JSON object. They
//! are a hint that no rule depends on.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    batching::{Member, StartedScript},
    ids::{BatchId, TaskId, WorkerId},
};
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{self, int2, int4},
};

/// Place and start time, in Unix milliseconds, of the script that each target started last.
pub(super) type StartedByOrdinal = BTreeMap<u32, (i16, i64)>;

/// Started script of a target in a leased batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedTarget {
    /// Task of the target.
    pub task_id: TaskId,
    /// Batch that delivered the target.
    pub batch_id: BatchId,
    /// Place of the target in the plan, from 0.
    pub ordinal: u32,
    /// The script and its start time.
    pub script: StartedScript,
}

/// Returns the started script of a target.
pub(super) fn of(started: &StartedByOrdinal, ordinal: i32) -> Result<Option<StartedScript>, Error> {
    let found = u32::try_from(ordinal).ok().and_then(|ordinal| started.get(&ordinal));
    let columns = found.and_then(|&(script, ms)| Some((script, Timestamp::from_timestamp_millis(ms)?)));
    codec::started("batch", columns)
}

/// Returns the started scripts of members.
pub(super) fn by_ordinal(members: &[Member]) -> StartedByOrdinal {
    let started = members.iter().filter_map(|member| Some((member.ordinal, member.started?)));
    started.map(|(ordinal, it)| (ordinal, (int2(it.script), it.at.timestamp_millis()))).collect()
}

/// Adds started scripts to the batches that a worker holds. Other batches are skipped.
pub async fn add_started(
    connection: &mut Connection,
    worker_id: &WorkerId,
    started: &[StartedTarget],
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE batch b SET started = b.started || (
             SELECT coalesce(jsonb_object_agg(n.ordinal, jsonb_build_array(n.script, n.ms)), '{}')
             FROM unnest($2::uuid[], $3::uuid[], $4::int4[], $5::int2[], $6::int8[])
                  AS n (task_id, batch_id, ordinal, script, ms)
             WHERE n.task_id = b.task_id AND n.batch_id = b.batch_id AND n.ordinal = ANY (b.ordinals))
         FROM (SELECT b.task_id, b.batch_id FROM batch b
               WHERE (b.task_id, b.batch_id) IN (SELECT * FROM unnest($2::uuid[], $3::uuid[]))
                 AND b.worker_id = $1 AND b.status = 'LEASED'
               ORDER BY b.task_id, b.batch_id FOR UPDATE) AS locked
         WHERE b.task_id = locked.task_id AND b.batch_id = locked.batch_id",
        worker_id.as_str(),
        &started.iter().map(|it| it.task_id.0).collect::<Vec<Uuid>>(),
        &started.iter().map(|it| it.batch_id.0).collect::<Vec<Uuid>>(),
        &started.iter().map(|it| int4(it.ordinal)).collect::<Vec<_>>(),
        &started.iter().map(|it| int2(it.script.script)).collect::<Vec<_>>(),
        &started.iter().map(|it| it.script.at.timestamp_millis()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
