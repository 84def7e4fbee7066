//! Batches that are lost: without a holder, or past a deadline.

use domain::{
    Timestamp,
    cut::Member,
    ids::{BatchId, TaskId, WorkerId},
};
use uuid::Uuid;

use super::{BatchRow, BatchTerms, Raw};
use crate::{Connection, Error, values::count};

/// A lost batch, with the ordinals that tell which wave to lock.
#[derive(Debug, Clone)]
pub struct Lost {
    /// Its task.
    pub task_id: TaskId,
    /// Its id.
    pub batch_id: BatchId,
    /// Its targets.
    pub ordinals: Vec<u32>,
}

struct Key {
    task_id: Uuid,
    batch_id: Uuid,
    ordinals: Vec<i32>,
}

impl Key {
    fn lost(self) -> Result<Lost, Error> {
        let ordinals =
            self.ordinals.iter().map(|&ordinal| count("batch", ordinal)).collect::<Result<_, _>>()?;
        Ok(Lost { task_id: TaskId(self.task_id), batch_id: BatchId(self.batch_id), ordinals })
    }
}

/// Batches whose lease ran out by a moment, or whose worker is no longer known, whoever reaps them.
pub async fn orphaned(connection: &mut Connection, heard: Timestamp, limit: i64) -> Result<Vec<Lost>, Error> {
    let rows = sqlx::query_as!(
        Key,
        r#"SELECT task_id AS "task_id!", batch_id AS "batch_id!", ordinals AS "ordinals!"
         FROM batch WHERE status = 'LEASED' AND lease_until <= $1
         UNION ALL
         SELECT task_id, batch_id, ordinals FROM batch b WHERE status = 'READY'
            AND NOT EXISTS (SELECT FROM worker w WHERE w.worker_id = b.worker_id AND NOT w.draining)
         LIMIT $2"#,
        heard,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Key::lost).collect()
}

/// What a reclaimed batch leaves to be done.
#[derive(Debug, Clone)]
pub struct Reclaimed {
    /// What its cut said; `maybe_handed` now also when it was ever leased.
    pub terms: BatchTerms,
    /// Its targets; when it was orphaned, those without a result.
    pub members: Vec<Member>,
}

impl TryFrom<Raw> for Reclaimed {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        let row = BatchRow::try_from(raw)?;
        let terms = BatchTerms { maybe_handed: row.terms.maybe_handed || row.epoch > 0, ..row.terms };
        Ok(Self { terms, members: row.members })
    }
}

/// Takes an orphaned batch away, under the wave's lock: deletes it and says what it leaves. `None` when it is no
/// longer orphaned.
pub async fn reclaim(
    connection: &mut Connection,
    task_id: TaskId,
    batch_id: BatchId,
    heard: Timestamp,
) -> Result<Option<Reclaimed>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        "DELETE FROM batch b WHERE task_id = $1 AND batch_id = $2
           AND (status = 'LEASED' AND lease_until <= $3
                OR status = 'READY' AND NOT EXISTS (
                    SELECT FROM worker w WHERE w.worker_id = b.worker_id AND NOT w.draining))
         RETURNING task_id, batch_id, wave, epoch, ordinals, desktop_ids, agent_ids, maybe_handed, answer_only,
                   stop, losses, deliver_by, finish_by",
        task_id.0,
        batch_id.0,
        heard,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(mut left) = raw.map(Reclaimed::try_from).transpose()? else { return Ok(None) };
    let ordinals: Vec<u32> = left.members.iter().map(|member| member.ordinal).collect();
    let ended = crate::record::ended(connection, task_id, &ordinals).await?;
    left.members.retain(|member| !ended.contains(&member.ordinal));
    Ok(Some(left))
}

/// Ends every lease of a worker, so that the reaper takes them back without waiting. They end at the beginning of time: a
/// reaper that does not count on silence takes them too. If the worker died, its targets may have been the cause.
pub async fn end_leases_of(
    connection: &mut Connection,
    worker_id: &WorkerId,
    died: bool,
) -> Result<u64, Error> {
    let done = sqlx::query!(
        "UPDATE batch b SET lease_until = $2, losses = losses + $3
         FROM (SELECT task_id, batch_id FROM batch
               WHERE worker_id = $1 AND status = 'LEASED' AND lease_until > $2
               ORDER BY task_id, batch_id FOR UPDATE) AS held
         WHERE b.task_id = held.task_id AND b.batch_id = held.batch_id",
        worker_id.as_str(),
        Timestamp::UNIX_EPOCH,
        i16::from(died),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Batches that passed a deadline: ready ones never handed out their `deliver_by`, all others their `finish_by`, by which
/// their results should have been heard. The time of what is held does not run.
pub async fn overdue(
    connection: &mut Connection,
    now: Timestamp,
    heard: Timestamp,
    limit: i64,
) -> Result<Vec<Lost>, Error> {
    let rows = sqlx::query_as!(
        Key,
        r#"SELECT task_id AS "task_id!", batch_id AS "batch_id!", ordinals AS "ordinals!"
         FROM batch WHERE finish_by <= $2 AND NOT held
         UNION ALL
         SELECT task_id, batch_id, ordinals FROM batch
         WHERE status = 'READY' AND NOT maybe_handed AND NOT held AND deliver_by <= $1 AND finish_by > $2
         LIMIT $3"#,
        now,
        heard,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Key::lost).collect()
}

/// Takes an overdue batch away, under the wave's lock. `None` when it is no longer overdue.
pub async fn take_overdue(
    connection: &mut Connection,
    task_id: TaskId,
    batch_id: BatchId,
    now: Timestamp,
    heard: Timestamp,
) -> Result<Option<Reclaimed>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        "DELETE FROM batch WHERE task_id = $1 AND batch_id = $2
           AND (finish_by <= $4 OR status = 'READY' AND NOT maybe_handed AND deliver_by <= $3)
           AND NOT held
         RETURNING task_id, batch_id, wave, epoch, ordinals, desktop_ids, agent_ids, maybe_handed, answer_only,
                   stop, losses, deliver_by, finish_by",
        task_id.0,
        batch_id.0,
        now,
        heard,
    )
    .fetch_optional(connection)
    .await?;
    raw.map(Reclaimed::try_from).transpose()
}

/// Takes the batches of a held task away that were certainly never handed out, under the waves' locks.
pub(crate) async fn take_held(connection: &mut Connection, task_id: TaskId) -> Result<Vec<Reclaimed>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        "DELETE FROM batch b USING (
             SELECT batch_id FROM batch WHERE task_id = $1 AND held AND NOT maybe_handed ORDER BY batch_id FOR UPDATE
         ) AS held
         WHERE b.task_id = $1 AND b.batch_id = held.batch_id
         RETURNING b.task_id, b.batch_id, b.wave, b.epoch, b.ordinals, b.desktop_ids, b.agent_ids, b.maybe_handed,
                   b.answer_only, b.stop, b.losses, b.deliver_by, b.finish_by",
        task_id.0,
    )
    .fetch_all(connection)
    .await?;
    raw.into_iter().map(Reclaimed::try_from).collect()
}
