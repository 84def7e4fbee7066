//! Monthly partitions of target, record and audit. Their ids are UUIDv7, so a month is a range of ids.
//!
//! There is no DEFAULT partition: with one, nothing could be detached without stalling whoever writes. All that is done here
//! to a table with partitions takes a lock that readers and writers of its rows pass by.

use std::fmt;

use domain::{
    Timestamp,
    retention::{Month, PartitionState, months_in_use},
};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::{Connection, Error};

/// Any number: whoever makes partitions at once waits for each other on it.
const MAKE_LOCK: i64 = 0x6772_6179_0001;

/// A table that has partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Targets, by the id of their task.
    Target,
    /// Records, by the id of their task.
    Record,
    /// The audit, by the id of its entries.
    Audit,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Target, Self::Record, Self::Audit];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Record => "record",
            Self::Audit => "audit",
        }
    }
}

/// A month of a table. It is written as its own table is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Of which table.
    pub table: Table,
    /// Which month.
    pub month: Month,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.table.as_str(), self.month)
    }
}

/// The partitions of a table, oldest first, and those that were taken out of it and are still there.
pub async fn list(
    connection: &mut Connection,
    table: Table,
) -> Result<Vec<(Partition, PartitionState)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT substr(c.relname, length(p.relname) + 2) AS "month!", i.inhrelid IS NOT NULL AS "is_attached!",
                  coalesce(i.inhdetachpending, false) AS "is_detaching!"
           FROM pg_class p
           JOIN pg_class c ON c.relnamespace = p.relnamespace AND c.relkind = 'r'
                AND c.relname ~ ('^' || p.relname || '_\d{4}_\d\d$')
           LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = p.oid
           WHERE p.oid = to_regclass($1) ORDER BY 1"#,
        table.as_str()
    )
    .fetch_all(connection)
    .await?;
    let known = rows.into_iter().filter_map(|row| {
        let standing = match (row.is_attached, row.is_detaching) {
            (false, _) => PartitionState::Detached,
            (true, true) => PartitionState::Detaching,
            (true, false) => PartitionState::Attached,
        };
        // A table of somebody else's that looks alike is left alone.
        Some((Partition { table, month: row.month.parse().ok()? }, standing))
    });
    Ok(known.collect())
}

/// Makes the partitions of the months that may be written to now, where they are missing. May run in several processes.
pub async fn ensure(connection: &mut Connection, now: Timestamp) -> Result<(), Error> {
    if missing(connection, now).await?.is_empty() {
        return Ok(());
    }
    let mut tx = connection.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *tx).await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", MAKE_LOCK).execute(&mut *tx).await?;
    // Whoever was waited for has made them.
    for partition in missing(&mut tx, now).await? {
        attach(&mut tx, partition).await?;
    }
    Ok(tx.commit().await?)
}

async fn missing(connection: &mut Connection, now: Timestamp) -> Result<Vec<Partition>, Error> {
    let mut missing = Vec::new();
    for table in Table::ALL {
        let there = list(connection, table).await?;
        let wanted = months_in_use(now).map(|month| Partition { table, month });
        missing.extend(wanted.filter(|partition| {
            !there.iter().any(|(known, standing)| known == partition && *standing != PartitionState::Detached)
        }));
    }
    Ok(missing)
}

/// Makes a partition part of its table, and the partition itself where it is not there.
pub async fn attach(connection: &mut Connection, partition: Partition) -> Result<(), Error> {
    for statement in attach_statements(partition) {
        execute(connection, statement).await?;
    }
    Ok(())
}

/// As a table of its own first: to make it a partition at once would lock everybody out of the whole.
fn attach_statements(partition: Partition) -> Vec<String> {
    let Partition { table, month } = partition;
    let whole = table.as_str();
    let ids = month.ids();
    let create = format!("CREATE TABLE IF NOT EXISTS {partition} (LIKE {whole} INCLUDING ALL)");
    let attach = format!(
        "ALTER TABLE {whole} ATTACH PARTITION {partition} FOR VALUES FROM ('{}') TO ('{}')",
        ids.start, ids.end
    );
    // That of the whole does not speak for a partition that is named itself.
    let guard = format!(
        "CREATE OR REPLACE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {partition}
         FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    );
    match table {
        Table::Audit => vec![create, guard, attach],
        Table::Target | Table::Record => vec![create, attach],
    }
}

/// Takes a partition out of its table, while others read and write there. Waits for all transactions that have read the table
/// before, so it must not be in a transaction itself; false when they took too long. Then it is begun, and is to be finished
/// later.
pub async fn detach(connection: &mut Connection, partition: Partition) -> Result<bool, Error> {
    let whole = partition.table.as_str();
    in_time(
        execute(connection, format!("ALTER TABLE {whole} DETACH PARTITION {partition} CONCURRENTLY")).await,
    )
}

/// Brings to its end what `detach` began; false when others took too long again.
pub async fn finish_detaching(connection: &mut Connection, partition: Partition) -> Result<bool, Error> {
    let whole = partition.table.as_str();
    in_time(execute(connection, format!("ALTER TABLE {whole} DETACH PARTITION {partition} FINALIZE")).await)
}

/// Drops what was a partition; false when somebody held on to it for too long.
pub async fn drop(connection: &mut Connection, partition: Partition) -> Result<bool, Error> {
    in_time(execute(connection, format!("DROP TABLE IF EXISTS {partition}")).await)
}

/// The names and bounds come from the calendar alone.
async fn execute(connection: &mut Connection, statement: String) -> Result<(), Error> {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

fn in_time(done: Result<(), Error>) -> Result<bool, Error> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.is_timeout() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_the_ids_of_its_month_and_the_audits_are_guarded_before_they_are_part_of_it() {
        let month = "2026_12".parse().unwrap();
        assert_eq!(
            attach_statements(Partition { table: Table::Target, month }),
            [
                "CREATE TABLE IF NOT EXISTS target_2026_12 (LIKE target INCLUDING ALL)",
                "ALTER TABLE target ATTACH PARTITION target_2026_12 FOR VALUES FROM \
                 ('01a22ee6-b000-0000-0000-000000000000') TO ('01a2ce8b-d400-0000-0000-000000000000')"
            ]
        );
        let audit = attach_statements(Partition { table: Table::Audit, month });
        assert!(audit[1].contains("TRIGGER") && audit[2].contains("ATTACH"), "{audit:?}");
    }
}
