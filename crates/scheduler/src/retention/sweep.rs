//! Deletes expired data: tasks in small transactions, then whole monthly partitions that no task
//! needs.

use domain::{
    Timestamp,
    retention::{Cutoff, PartitionState, Step, next_step},
};
use store::{
    Connection, Error,
    partition::{self, Partition, Table},
    retention,
};

use telemetry::metric;

use super::Retention;
use crate::Scheduler;

/// Maximum number of tasks deleted in one transaction.
const TASKS_AT_ONCE: u16 = 100;
/// Maximum number of transactions in one tick.
const TRANSACTIONS_PER_TICK: usize = 100;
/// Maximum number of partitions of one table dropped in one tick.
const DROPS_PER_TICK: usize = 12;

impl Scheduler {
    /// Deletes expired data up to the limits of one tick. Returns true if more remains, and false
    /// without work while another scheduler holds the retention lock.
    pub async fn retain(&self, keep: &Retention, now: Timestamp) -> Result<bool, Error> {
        let Some(mut owner) = retention::exclusive(self.partition_store()).await? else { return Ok(false) };
        let mut connection = retention::patient(&self.store).await?;
        let tasks = Cutoff::new(keep.tasks_days, now);
        let audit = Cutoff::new(keep.audit_days, now);
        let mut is_more = match tasks {
            Some(cutoff) => delete_tasks(&mut connection, cutoff).await?,
            None => false,
        };
        let audit = match audit {
            Some(cutoff) => self.prepare_audit(&mut owner, cutoff, now).await?,
            None => None,
        };
        for table in Table::ALL {
            let cutoff = if table.is_audit() { audit } else { tasks };
            is_more |= settle_partitions(&mut owner, &mut connection, table, cutoff).await?;
        }
        Ok(is_more)
    }
}

impl Scheduler {
    /// Prepares the deletion of expired audit months, if there are any. Returns `None` while they
    /// must stay.
    async fn prepare_audit(
        &self,
        connection: &mut Connection,
        cutoff: Cutoff,
        now: Timestamp,
    ) -> Result<Option<Cutoff>, Error> {
        for table in Table::ALL.into_iter().filter(|table| table.is_audit()) {
            let partitions = partition::list(connection, table).await?;
            if partitions.iter().any(|(partition, _)| cutoff.may_go(partition.month)) {
                let is_ready = self.checkpoint_all(cutoff.first_kept_id(), now).await?;
                if !is_ready {
                    tracing::warn!(
                        "expired audit months stay: entries are not sealed yet, or no seal can be signed"
                    );
                }
                return Ok(is_ready.then_some(cutoff));
            }
        }
        Ok(Some(cutoff))
    }
}

/// Deletes expired tasks. Returns true if more remain.
async fn delete_tasks(connection: &mut Connection, cutoff: Cutoff) -> Result<bool, Error> {
    let mut deleted = 0;
    let mut is_more = true;
    for _ in 0..TRANSACTIONS_PER_TICK {
        let task_ids = retention::over_age(connection, cutoff, TASKS_AT_ONCE.into()).await?;
        is_more = !task_ids.is_empty();
        if !is_more {
            break;
        }
        retention::delete_tasks(connection, &task_ids).await?;
        deleted += task_ids.len();
        metric::TASKS_DELETED.increment(task_ids.len() as u64, &[]);
    }
    if deleted > 0 {
        tracing::info!(tasks = deleted, older_than = %cutoff.moment(), "expired tasks deleted");
    }
    Ok(is_more)
}

/// Drops expired partitions of a table and finishes detachments that an earlier tick began. Returns
/// true if more remain. `owner` is a connection of the role that owns the partitions.
async fn settle_partitions(
    owner: &mut Connection,
    connection: &mut Connection,
    table: Table,
    cutoff: Option<Cutoff>,
) -> Result<bool, Error> {
    let mut partitions = partition::list(owner, table).await?;
    // Postgres detaches at most one partition of a table at a time, so a pending detachment comes
    // first.
    partitions.sort_by_key(|(_, standing)| *standing != PartitionState::Detaching);
    let mut dropped = 0;
    for (partition, standing) in partitions {
        if dropped == DROPS_PER_TICK {
            return Ok(true);
        }
        match settle(owner, connection, partition, standing, cutoff).await? {
            Settled::Stays => {}
            Settled::Gone => {
                tracing::info!(%partition, "expired partition dropped");
                metric::PARTITIONS_DROPPED.increment(1, &[]);
                dropped += 1;
            }
            Settled::Waits => {
                tracing::info!(%partition, "expired partition waits for older transactions");
                break;
            }
        }
    }
    Ok(false)
}

enum Settled {
    Stays,
    Gone,
    /// Blocked by older transactions for too long: retried at the next tick.
    Waits,
}

/// Moves a partition step by step until it stays or is dropped. Each step reads again whether the
/// partition is needed. A detached partition accepts no rows, so the last check before the drop is
/// final.
async fn settle(
    owner: &mut Connection,
    connection: &mut Connection,
    partition: Partition,
    mut standing: PartitionState,
    cutoff: Option<Cutoff>,
) -> Result<Settled, Error> {
    loop {
        let in_time = match next_step(standing, is_needed(connection, partition, cutoff).await?) {
            Step::Keep => return Ok(Settled::Stays),
            Step::Attach => {
                partition::attach(owner, partition).await?;
                return Ok(Settled::Stays);
            }
            Step::Drop if partition::drop(owner, partition).await? => return Ok(Settled::Gone),
            Step::Drop => false,
            Step::Detach => partition::detach(owner, partition).await?,
            Step::FinishDetaching => partition::finish_detaching(owner, partition).await?,
        };
        if !in_time {
            return Ok(Settled::Waits);
        }
        standing = PartitionState::Detached;
    }
}

async fn is_needed(
    connection: &mut Connection,
    partition: Partition,
    cutoff: Option<Cutoff>,
) -> Result<bool, Error> {
    if !cutoff.is_some_and(|cutoff| cutoff.may_go(partition.month)) {
        return Ok(true);
    }
    match partition.table {
        Table::Target | Table::Record => retention::has_tasks(connection, partition.month).await,
        Table::Audit | Table::AuditSeal => Ok(false),
    }
}
