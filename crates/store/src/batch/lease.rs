//! Leases: acquisition, and their end with the worker.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    deadline::Deadlines,
    ids::{BatchId, TaskId, WorkerId},
    quarantine,
};
use engine::row::{LeaseChoice, ReadyBatch};
use sqlx::types::Json;
use uuid::Uuid;

use super::{BatchRow, Raw, started::StartedByOrdinal};
use crate::{
    Connection, Error,
    codec::{count, int2, int4, text_id},
};

/// A lease as its holder identifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// Task of the batch.
    pub task_id: TaskId,
    /// Id of the batch.
    pub batch_id: BatchId,
    /// Epoch of the lease.
    pub epoch: u32,
}

/// Locks ready batches of a worker that no concurrent lease is about to take: first one batch of
/// each project, the first of the task that holds least on the worker, then the second ones.
/// Returns only the oldest batch under suspicion. The flag reports whether the worker holds one
/// that it leased after `survived`.
pub(crate) async fn leasable(
    connection: &mut Connection,
    worker_id: &WorkerId,
    survived: Timestamp,
    with_suspended: bool,
    limit: u32,
) -> Result<(Vec<ReadyBatch>, bool), Error> {
    let rows = sqlx::query!(
        r#"WITH held AS (
               SELECT k.project_id, h.task_id, sum(greatest(cardinality(h.ordinals) - h.reported, 0)) AS by_task,
                      sum(sum(greatest(cardinality(h.ordinals) - h.reported, 0))) OVER (PARTITION BY k.project_id)
                          AS by_project
               FROM batch h JOIN task k USING (task_id)
               WHERE h.worker_id = $1 AND h.status = 'LEASED' GROUP BY k.project_id, h.task_id),
           ready AS (
               SELECT b.task_id, b.batch_id, k.project_id, k.delivery_timeout_ms,
                      NOT b.maybe_delivered AND k.policy->>'window' IS NULL AS may_wait,
                      row_number() OVER (PARTITION BY b.task_id ORDER BY b.ordinals[1], b.batch_id) AS place
               FROM batch b JOIN task k USING (task_id)
               WHERE b.worker_id = $1 AND b.status = 'READY' AND ($5 OR NOT b.suspended)
                 AND (b.worker_deaths < $3 OR b.batch_id = (
                     SELECT s.batch_id FROM batch s
                     WHERE s.worker_id = $1 AND s.status = 'READY' AND ($5 OR NOT s.suspended) AND s.worker_deaths >= $3
                     ORDER BY s.created_at LIMIT 1))),
           ranked AS (
               SELECT r.*, coalesce(t.by_task, 0)::int8 AS held_by_task, coalesce(p.by_project, 0)::int8 AS held_by_project,
                      row_number() OVER (PARTITION BY r.project_id
                                         ORDER BY r.place, coalesce(t.by_task, 0), r.task_id) AS turn
               FROM ready r LEFT JOIN held t ON t.task_id = r.task_id
               LEFT JOIN (SELECT DISTINCT project_id, by_project FROM held) AS p ON p.project_id = r.project_id)
           SELECT batch.task_id, batch.batch_id, cardinality(ordinals) AS "size!", worker_deaths, r.project_id,
                  deliver_by, finish_by, r.delivery_timeout_ms, r.may_wait AS "may_wait!",
                  r.held_by_task AS "held_by_task!", r.held_by_project AS "held_by_project!",
                  (SELECT w.capacity FROM worker w WHERE w.worker_id = $1) AS capacity,
                  octet_length(array_to_string(desktop_ids || agent_ids, '')) AS "ids_bytes!",
                  (SELECT l.max_running_per_desktop FROM project_limit l WHERE l.project_id = r.project_id) AS max_running,
                  EXISTS (SELECT FROM batch h WHERE h.worker_id = $1 AND h.status = 'LEASED' AND h.worker_deaths >= $3
                            AND h.leased_at > $4) AS "has_suspect!"
           FROM batch JOIN ranked r ON r.task_id = batch.task_id AND r.batch_id = batch.batch_id
           WHERE batch.status = 'READY'
           ORDER BY r.turn, r.held_by_project, batch.task_id LIMIT $2
           FOR UPDATE OF batch SKIP LOCKED"#,
        worker_id.as_str(),
        i64::from(limit),
        int2(quarantine::SUSPECT_AFTER),
        survived,
        with_suspended,
    )
    .fetch_all(connection)
    .await?;
    let has_suspect = rows.iter().any(|row| row.has_suspect);
    let ready = rows.into_iter().map(|row| {
        Ok(ReadyBatch {
            project_id: text_id("task", row.project_id)?,
            task_id: TaskId(row.task_id),
            batch_id: BatchId(row.batch_id),
            size: count("batch", row.size)?,
            deadlines: Deadlines { deliver_by: row.deliver_by, finish_by: row.finish_by },
            delivery: TimeDelta::milliseconds(row.delivery_timeout_ms),
            may_wait: row.may_wait,
            held_by_project: count("batch", row.held_by_project)?,
            held_by_task: count("batch", row.held_by_task)?,
            // A worker without a row is about to be removed: no place is reserved.
            capacity: count("worker", row.capacity.unwrap_or(0))?,
            ids_bytes: count("batch", row.ids_bytes)?,
            worker_deaths: count("batch", row.worker_deaths)?,
            max_running: row.max_running.map(|most| count("project_limit", most)).transpose()?,
        })
    });
    Ok((ready.collect::<Result<_, Error>>()?, has_suspect))
}

/// Leases locked batches and increments their epochs. The rest of a partly chosen batch stays
/// ready.
pub(crate) async fn lease(
    connection: &mut Connection,
    choices: &[LeaseChoice],
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<BatchRow>, Error> {
    let mut leased = Vec::with_capacity(choices.len());
    for choice in choices {
        let batch_id = match choice.part {
            None => choice.batch_id,
            Some(part) => split(connection, choice.task_id, choice.batch_id, part).await?,
        };
        leased.push((choice.task_id, batch_id));
    }
    let later_ms: Vec<i64> = choices.iter().map(|choice| choice.later.num_milliseconds()).collect();
    let (task_ids, batch_ids) = keys(&leased);
    let raw = sqlx::query_as!(
        Raw,
        r#"UPDATE batch b SET status = 'LEASED', epoch = epoch + 1, lease_until = $3, leased_at = $4,
                  deliver_by = deliver_by + k.later_ms * interval '1 millisecond',
                  finish_by = finish_by + k.later_ms * interval '1 millisecond'
           FROM unnest($1::uuid[], $2::uuid[], $5::int8[]) AS k (task_id, batch_id, later_ms)
           WHERE b.task_id = k.task_id AND b.batch_id = k.batch_id
           RETURNING b.task_id, b.batch_id, b.wave, b.worker_id, b.epoch, b.lease_until, true AS "has_holder!", b.ordinals,
                     b.desktop_ids, b.agent_ids, b.maybe_delivered, b.query_only, b.suspended, b.stop, b.worker_deaths, b.deliver_by,
                     b.finish_by, b.wait_until, b.started AS "started: Json<StartedByOrdinal>" "#,
        &task_ids,
        &batch_ids,
        lease_until,
        now,
        &later_ms,
    )
    .fetch_all(connection)
    .await?;
    let mut rows = raw.into_iter().map(BatchRow::try_from).collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|row| leased.iter().position(|(_, batch_id)| *batch_id == row.batch_id));
    Ok(rows)
}

/// Splits a locked ready batch: its first `keep` targets become a new ready batch, whose id is
/// returned.
///
/// The rest keeps the row. A transaction that waits for the row's lock, to withdraw or to stop
/// ready targets, finds the rest in it. Such a transaction does not see a new row. The new batch is
/// leased in this transaction, so no other transaction sees it as ready.
async fn split(
    connection: &mut Connection,
    task_id: TaskId,
    batch_id: BatchId,
    keep: u32,
) -> Result<BatchId, Error> {
    let head_id = BatchId(Uuid::now_v7());
    sqlx::query!(
        "INSERT INTO batch (task_id, batch_id, wave, worker_id, ordinals, desktop_ids, agent_ids, status, epoch,
                            maybe_delivered, query_only, stop, deliver_by, finish_by, created_at, worker_deaths, wait_until, started)
         SELECT task_id, $4, wave, worker_id, ordinals[:$3], desktop_ids[:$3], agent_ids[:$3], status, epoch,
                maybe_delivered, query_only, stop, deliver_by, finish_by, created_at, worker_deaths, wait_until, started
         FROM batch WHERE task_id = $1 AND batch_id = $2",
        task_id.0,
        batch_id.0,
        int4(keep),
        head_id.0,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE batch SET ordinals = ordinals[$3 + 1:], desktop_ids = desktop_ids[$3 + 1:], agent_ids = agent_ids[$3 + 1:]
         WHERE task_id = $1 AND batch_id = $2",
        task_id.0,
        batch_id.0,
        int4(keep),
    )
    .execute(connection)
    .await?;
    Ok(head_id)
}

pub(super) fn keys(batches: &[(TaskId, BatchId)]) -> (Vec<Uuid>, Vec<Uuid>) {
    batches.iter().map(|(task_id, batch_id)| (task_id.0, batch_id.0)).unzip()
}

/// Ends every lease of a worker, so that its batches are reclaimed immediately. The leases end at
/// the earliest timestamp, so that they count as lost for every `observed_until`. If the worker
/// died, its targets are counted as a possible cause.
pub async fn end_leases_of(
    connection: &mut Connection,
    worker_id: &WorkerId,
    died: bool,
) -> Result<u64, Error> {
    let done = sqlx::query!(
        "UPDATE batch b SET lease_until = $2, worker_deaths = worker_deaths + $3
         FROM (SELECT task_id, batch_id FROM batch
               WHERE worker_id = $1 AND status = 'LEASED' AND lease_until > $2
               ORDER BY task_id, batch_id FOR UPDATE) AS locked
         WHERE b.task_id = locked.task_id AND b.batch_id = locked.batch_id",
        worker_id.as_str(),
        Timestamp::UNIX_EPOCH,
        i16::from(died),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
