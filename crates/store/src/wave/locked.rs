//! The waves of a task that can still change, under their locks.

use domain::{gate::Results, ids::TaskId, tally::Tally, wave::WaveStatus};

use super::{Raw, WaveRow, select_waves};
use crate::{
    Connection, Error,
    codec::{count, int2, int4, tally_from_array},
};

/// Locks the waves of a task that can still change, and the begun waves of these ordinals, in
/// ascending order. Waits for their current holders. No result can exist for a wave that has not
/// begun, even if a report names its ordinals.
pub async fn lock(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
) -> Result<Vec<WaveRow>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let raw: Vec<Raw> = sqlx::query_as(select_waves!(
        "w.task_id = $1 AND (w.is_trailing OR w.status IN ('OPEN', 'HALTED', 'STOPPED')
             OR w.status <> 'PENDING' AND EXISTS (
                 SELECT FROM unnest($2::int4[]) AS o WHERE o >= w.first_ordinal AND o < w.first_ordinal + w.size)
             OR cardinality($2::int4[]) = 0 AND w.wave = (
                 SELECT c.wave FROM wave c WHERE c.task_id = $1 AND c.status <> 'CLOSED' ORDER BY c.wave LIMIT 1))
         ORDER BY w.wave FOR UPDATE OF w"
    ))
    .bind(task_id.0)
    .bind(&ordinals)
    .fetch_all(&mut *connection)
    .await?;
    let mut waves = raw.into_iter().map(WaveRow::try_from).collect::<Result<Vec<_>, _>>()?;
    // While this transaction waited for the locks, another wave may have become the current one, or
    // the next one is pending.
    while waves.last().is_none_or(|last| last.state.status == WaveStatus::Closed) {
        let after = waves.last().map_or(0, |last| last.wave);
        match lock_next(connection, task_id, after).await? {
            Some(next) => waves.push(next),
            None => break,
        }
    }
    Ok(waves)
}

/// Locks the first wave after a given one that can still change.
pub(crate) async fn lock_next(
    connection: &mut Connection,
    task_id: TaskId,
    after: u16,
) -> Result<Option<WaveRow>, Error> {
    let raw: Option<Raw> = sqlx::query_as(select_waves!(
        "w.task_id = $1 AND w.wave > $2 AND (w.is_trailing OR w.status <> 'CLOSED') ORDER BY w.wave LIMIT 1 FOR UPDATE OF w"
    ))
    .bind(task_id.0)
    .bind(int2(after))
    .fetch_optional(connection)
    .await?;
    raw.map(WaveRow::try_from).transpose()
}

/// Sums the results of earlier, unlocked waves, if a rule needs them. The sum is read after the
/// locks are taken: one of these waves may have closed while the transaction waited.
pub(crate) async fn settled(
    connection: &mut Connection,
    task_id: TaskId,
    locked: &[WaveRow],
) -> Result<Results, Error> {
    let Some(last) = locked.last() else { return Ok(Results::default()) };
    if last.wave == 1 || last.state.terms.task_threshold.is_none() {
        return Ok(Results::default());
    }
    let numbers: Vec<i16> = locked.iter().map(|row| int2(row.wave)).collect();
    let sums = sqlx::query!(
        r#"SELECT coalesce(sum(size), 0)::int4 AS "finished!", coalesce(sum(failed), 0)::int4 AS "failed!"
           FROM wave WHERE task_id = $1 AND wave < $2 AND wave <> ALL($3)"#,
        task_id.0,
        int2(last.wave),
        &numbers,
    )
    .fetch_one(connection)
    .await?;
    Ok(Results { finished: count("wave", sums.finished)?, failed: count("wave", sums.failed)? })
}

/// Sums the target tallies of all waves of a task except these.
pub(crate) async fn other_tallies(
    connection: &mut Connection,
    task_id: TaskId,
    waves: &[u16],
) -> Result<Tally, Error> {
    let numbers: Vec<i16> = waves.iter().map(|&wave| int2(wave)).collect();
    let tallies = sqlx::query_scalar!(
        "SELECT target_tally FROM wave WHERE task_id = $1 AND wave <> ALL($2)",
        task_id.0,
        &numbers,
    )
    .fetch_all(connection)
    .await?;
    let mut sum = Tally::default();
    for tally in tallies {
        sum.merge(&tally_from_array(&tally)?);
    }
    Ok(sum)
}
