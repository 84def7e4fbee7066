//! Renewals of leases.

use std::collections::HashSet;

use domain::{
    Timestamp,
    ids::{BatchId, TaskId, WorkerId},
};

use super::lease::{LeaseKey, keys};
use crate::{
    Connection, Error,
    codec::{count, int4},
};

/// Extends leases that the worker still holds with the same epoch, and returns their keys.
///
/// Must run outside a transaction: a renewal that waits for a lock holds no other one. Reports lock
/// the batches of a task in another order if they halt it, so a renewal that held some could wait
/// in a circle with them.
pub async fn renew(
    connection: &mut Connection,
    worker_id: &WorkerId,
    leases: &[LeaseKey],
    lease_until: Timestamp,
) -> Result<Vec<LeaseKey>, Error> {
    let mut renewed = renew_unlocked(connection, worker_id, leases, lease_until).await?;
    let known: HashSet<LeaseKey> = renewed.iter().copied().collect();
    for &lease in leases.iter().filter(|lease| !known.contains(lease)) {
        if renew_one(connection, worker_id, lease, lease_until).await? {
            renewed.push(lease);
        }
    }
    Ok(renewed)
}

/// Extends one lease. Returns false if the worker no longer holds it.
async fn renew_one(
    connection: &mut Connection,
    worker_id: &WorkerId,
    lease: LeaseKey,
    lease_until: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE batch SET lease_until = greatest(lease_until, $5)
         WHERE task_id = $2 AND batch_id = $3 AND epoch = $4 AND worker_id = $1 AND status = 'LEASED'",
        worker_id.as_str(),
        lease.task_id.0,
        lease.batch_id.0,
        int4(lease.epoch),
        lease_until,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Extends the leases whose batches no other transaction has locked. Returns their keys.
async fn renew_unlocked(
    connection: &mut Connection,
    worker_id: &WorkerId,
    leases: &[LeaseKey],
    lease_until: Timestamp,
) -> Result<Vec<LeaseKey>, Error> {
    let (task_ids, batch_ids) =
        keys(&leases.iter().map(|lease| (lease.task_id, lease.batch_id)).collect::<Vec<_>>());
    let epochs: Vec<i32> = leases.iter().map(|lease| int4(lease.epoch)).collect();
    let rows = sqlx::query!(
        "UPDATE batch b SET lease_until = greatest(b.lease_until, $5)
         FROM (SELECT b.task_id, b.batch_id FROM batch b
               JOIN unnest($2::uuid[], $3::uuid[], $4::int4[]) AS k (task_id, batch_id, epoch)
                   ON b.task_id = k.task_id AND b.batch_id = k.batch_id AND b.epoch = k.epoch
               WHERE b.worker_id = $1 AND b.status = 'LEASED'
               FOR UPDATE OF b SKIP LOCKED) AS locked
         WHERE b.task_id = locked.task_id AND b.batch_id = locked.batch_id
         RETURNING b.task_id, b.batch_id, b.epoch",
        worker_id.as_str(),
        &task_ids,
        &batch_ids,
        &epochs,
        lease_until,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LeaseKey {
                task_id: TaskId(row.task_id),
                batch_id: BatchId(row.batch_id),
                epoch: count("batch", row.epoch)?,
            })
        })
        .collect()
}
