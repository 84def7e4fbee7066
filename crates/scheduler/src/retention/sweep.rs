//! What is over its age goes: tasks in small transactions, and then the months that nothing needs any more, as partitions.

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

/// Tasks deleted in one transaction.
const TASKS_AT_ONCE: u16 = 100;
/// Transactions of one tick.
const TRANSACTIONS_PER_TICK: usize = 100;
/// Partitions of one table that one tick drops.
const DROPS_PER_TICK: usize = 12;

impl Scheduler {
    /// Lets go what is over its age, as much as one tick may; true when there is more. Where another scheduler is at it, there
    /// is nothing to do.
    pub async fn retain(&self, keep: &Retention, now: Timestamp) -> Result<bool, Error> {
        let Some(mut connection) = retention::exclusive(&self.store).await? else { return Ok(false) };
        let tasks = Cutoff::new(keep.tasks_days, now);
        let audit = Cutoff::new(keep.audit_days, now);
        let mut is_more = match tasks {
            Some(cutoff) => delete_tasks(&mut connection, cutoff).await?,
            None => false,
        };
        for table in Table::ALL {
            let cutoff = if table == Table::Audit { audit } else { tasks };
            is_more |= settle_partitions(&mut connection, table, cutoff).await?;
        }
        Ok(is_more)
    }
}

/// Deletes tasks that are over their age. True when there are more.
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
        tracing::info!(tasks = deleted, older_than = %cutoff.moment(), "tasks over their age are deleted");
    }
    Ok(is_more)
}

/// Drops the partitions of a table that are over their age, and brings to its end what an earlier tick began. True when
/// there are more.
async fn settle_partitions(
    connection: &mut Connection,
    table: Table,
    cutoff: Option<Cutoff>,
) -> Result<bool, Error> {
    let mut partitions = partition::list(connection, table).await?;
    // A table has one that is being detached at most, and as long as it has one no other can be.
    partitions.sort_by_key(|(_, standing)| *standing != PartitionState::Detaching);
    let mut dropped = 0;
    for (partition, standing) in partitions {
        if dropped == DROPS_PER_TICK {
            return Ok(true);
        }
        match settle(connection, partition, standing, cutoff).await? {
            Settled::Stays => {}
            Settled::Gone => {
                tracing::info!(%partition, "a partition over its age is dropped");
                metric::PARTITIONS_DROPPED.increment(1, &[]);
                dropped += 1;
            }
            Settled::Waits => {
                tracing::info!(%partition, "a partition over its age waits for older transactions");
                break;
            }
        }
    }
    Ok(false)
}

enum Settled {
    Stays,
    Gone,
    /// OtherWaves were in the way for too long: at the next tick.
    Waits,
}

/// Step by step to where the partition stays or is gone. Whether it is needed is asked anew before each: once it is detached
/// nothing can be added to it, so what is dropped is what nobody needs.
async fn settle(
    connection: &mut Connection,
    partition: Partition,
    mut standing: PartitionState,
    cutoff: Option<Cutoff>,
) -> Result<Settled, Error> {
    loop {
        let in_time = match next_step(standing, is_needed(connection, partition, cutoff).await?) {
            Step::Keep => return Ok(Settled::Stays),
            Step::Attach => {
                partition::attach(connection, partition).await?;
                return Ok(Settled::Stays);
            }
            Step::Drop if partition::drop(connection, partition).await? => return Ok(Settled::Gone),
            Step::Drop => false,
            Step::Detach => partition::detach(connection, partition).await?,
            Step::FinishDetaching => partition::finish_detaching(connection, partition).await?,
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
        Table::Audit => Ok(false),
    }
}
