//! Leases ready batches to the worker that asks, never more targets than it has room for.

use std::sync::Arc;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{TaskId, WorkerId},
};
use store::{
    Error, Tx,
    batch::{self, BatchRow, LeaseKey},
};

use super::{Engine, Spec, fresh_batch_id};

/// Batches that one pull looks at.
const BATCHES_PER_PULL: u32 = 64;

/// A batch in a worker's hands, with what it runs.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The batch.
    pub batch: BatchRow,
    /// What each of its targets runs.
    pub spec: Arc<Spec>,
}

impl Engine {
    /// Leases the worker's oldest ready batches while `room` targets allow; the last one is split to fit.
    pub async fn lease(&self, worker_id: &WorkerId, room: u32, now: Timestamp) -> Result<Vec<Leased>, Error> {
        let mut tx = self.store.begin().await?;
        let ready = batch::lock_ready(&mut tx, worker_id, BATCHES_PER_PULL).await?;
        let mut chosen = Vec::new();
        let mut room = room;
        for (task_id, batch_id, size) in ready {
            if room == 0 {
                break;
            }
            if size > room {
                batch::split(&mut tx, task_id, batch_id, room, fresh_batch_id()).await?;
            }
            room -= size.min(room);
            chosen.push((task_id, batch_id));
        }
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let rows = batch::lease(&mut tx, &chosen, now + self.lease_time()).await?;
        let leased = self.with_specs(&mut tx, rows).await?;
        self.store.commit(tx).await?;
        Ok(leased)
    }

    async fn with_specs(&self, tx: &mut Tx, rows: Vec<BatchRow>) -> Result<Vec<Leased>, Error> {
        let mut leased = Vec::with_capacity(rows.len());
        for batch in rows {
            let task_id: TaskId = batch.terms.task_id;
            let spec = self.specs.get(tx, task_id).await?;
            let spec =
                spec.ok_or_else(|| Error::Corrupt { table: "batch", what: format!("no task {task_id}") })?;
            leased.push(Leased { batch, spec });
        }
        Ok(leased)
    }

    /// Extends leases; returns those that are not the worker's any more.
    pub async fn renew(
        &self,
        worker_id: &WorkerId,
        leases: &[LeaseKey],
        now: Timestamp,
    ) -> Result<Vec<LeaseKey>, Error> {
        let mut connection = self.store.acquire().await?;
        let held = batch::renew(&mut connection, worker_id, leases, now + self.lease_time()).await?;
        Ok(leases.iter().filter(|lease| !held.contains(lease)).copied().collect())
    }

    fn lease_time(&self) -> TimeDelta {
        TimeDelta::milliseconds(i64::from(self.config.lease_ms))
    }
}
