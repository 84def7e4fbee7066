//! Batches: one row for hundreds of targets. A worker leases it, an epoch fences it, and its end
//! deletes it.

mod due;
mod lease;
mod renew;
mod started;
mod update;

use domain::{
    Timestamp,
    batching::Member,
    deadline::Deadlines,
    ids::{BatchId, TaskId},
};
pub(crate) use due::{orphaned, out_of_service, overdue_batches};
pub use engine::row::{BatchRow, BatchTerms};
use engine::row::{Whereabouts, WithdrawableBatch};
pub use lease::{LeaseKey, end_leases_of};
pub(crate) use lease::{leasable, lease};
pub use renew::renew;
use sqlx::types::Json;
use started::StartedByOrdinal;
pub use started::{StartedTarget, add_started};
pub(crate) use update::apply;
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{count, int4, text_id},
};

struct Raw {
    task_id: Uuid,
    batch_id: Uuid,
    wave: i16,
    worker_id: String,
    epoch: i32,
    lease_until: Option<Timestamp>,
    has_holder: bool,
    ordinals: Vec<i32>,
    desktop_ids: Vec<String>,
    agent_ids: Vec<String>,
    maybe_delivered: bool,
    query_only: bool,
    suspended: bool,
    stop: bool,
    worker_deaths: i16,
    deliver_by: Timestamp,
    finish_by: Timestamp,
    wait_until: Timestamp,
    started: Json<StartedByOrdinal>,
}

impl TryFrom<Raw> for BatchRow {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        Ok(Self {
            batch_id: BatchId(raw.batch_id),
            terms: BatchTerms {
                task_id: TaskId(raw.task_id),
                wave: count("batch", raw.wave)?,
                deadlines: Deadlines { deliver_by: raw.deliver_by, finish_by: raw.finish_by },
                wait_until: raw.wait_until,
                maybe_delivered: raw.maybe_delivered,
                worker_deaths: count("batch", raw.worker_deaths)?,
            },
            worker_id: text_id("batch", raw.worker_id)?,
            epoch: count("batch", raw.epoch)?,
            lease_until: raw.lease_until,
            has_holder: raw.has_holder,
            query_only: raw.query_only,
            suspended: raw.suspended,
            stop: raw.stop,
            members: members(raw.ordinals, raw.desktop_ids, raw.agent_ids, &raw.started)?,
        })
    }
}

fn members(
    ordinals: Vec<i32>,
    desktop_ids: Vec<String>,
    agent_ids: Vec<String>,
    started: &StartedByOrdinal,
) -> Result<Vec<Member>, Error> {
    ordinals
        .into_iter()
        .zip(desktop_ids)
        .zip(agent_ids)
        .map(|((ordinal, desktop_id), agent_id)| {
            Ok(Member {
                ordinal: count("batch", ordinal)?,
                desktop_id: text_id("batch", desktop_id)?,
                agent_id,
                started: started::of(started, ordinal)?,
            })
        })
        .collect()
}

/// Locks batches of a task in the order of lease renewals. Omits deleted batches.
pub(crate) async fn lock(
    connection: &mut Connection,
    task_id: TaskId,
    batch_ids: &[BatchId],
) -> Result<Vec<BatchRow>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        r#"SELECT task_id, batch_id, wave, worker_id, epoch, CASE WHEN status = 'LEASED' THEN lease_until END AS lease_until,
                  EXISTS (SELECT FROM worker w WHERE w.worker_id = b.worker_id AND NOT w.draining) AS "has_holder!",
                  ordinals, desktop_ids, agent_ids, maybe_delivered, query_only, suspended, stop, worker_deaths, deliver_by, finish_by,
                  wait_until, started AS "started: Json<StartedByOrdinal>"
           FROM batch b WHERE task_id = $1 AND batch_id = ANY($2) ORDER BY batch_id FOR UPDATE OF b"#,
        task_id.0,
        &batch_ids.iter().map(|batch_id| batch_id.0).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    raw.into_iter().map(BatchRow::try_from).collect()
}

/// Locks all suspended batches of a task.
pub(crate) async fn lock_suspended(
    connection: &mut Connection,
    task_id: TaskId,
) -> Result<Vec<BatchRow>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        r#"SELECT task_id, batch_id, wave, worker_id, epoch, CASE WHEN status = 'LEASED' THEN lease_until END AS lease_until,
                  true AS "has_holder!", ordinals, desktop_ids, agent_ids, maybe_delivered, query_only, suspended, stop, worker_deaths,
                  deliver_by, finish_by, wait_until, started AS "started: Json<StartedByOrdinal>"
           FROM batch WHERE task_id = $1 AND suspended ORDER BY batch_id FOR UPDATE"#,
        task_id.0,
    )
    .fetch_all(connection)
    .await?;
    raw.into_iter().map(BatchRow::try_from).collect()
}

/// Locks all ready batches of a task. Waits for leases of these batches that are in progress.
pub(crate) async fn lock_ready(
    connection: &mut Connection,
    task_id: TaskId,
) -> Result<Vec<WithdrawableBatch>, Error> {
    let rows = sqlx::query!(
        r#"SELECT batch_id, wave, maybe_delivered, cardinality(ordinals) AS "size!"
           FROM batch WHERE task_id = $1 AND status = 'READY' ORDER BY batch_id FOR UPDATE"#,
        task_id.0,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(WithdrawableBatch {
                batch_id: BatchId(row.batch_id),
                wave: count("batch", row.wave)?,
                maybe_delivered: row.maybe_delivered,
                size: count("batch", row.size)?,
            })
        })
        .collect()
}

/// Locates targets of a task: in a batch, or deferred.
pub(crate) async fn whereabouts(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
) -> Result<Vec<Whereabouts>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let rows = sqlx::query!(
        r#"SELECT m.ordinal AS "ordinal!", m.agent_id AS "agent_id!", b.batch_id AS "batch_id?",
                  (b.status = 'LEASED' OR b.epoch > 0 OR b.maybe_delivered) AS "maybe_delivered!"
           FROM batch b, unnest(b.ordinals, b.agent_ids) AS m (ordinal, agent_id)
           WHERE b.task_id = $1 AND m.ordinal = ANY($2)
           UNION ALL
           SELECT ordinal, agent_id, NULL, maybe_delivered FROM deferred_target WHERE task_id = $1 AND ordinal = ANY($2)"#,
        task_id.0,
        &ordinals,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Whereabouts {
                ordinal: count("batch", row.ordinal)?,
                batch_id: row.batch_id.map(BatchId),
                maybe_delivered: row.maybe_delivered,
                agent_id: row.agent_id,
            })
        })
        .collect()
}
