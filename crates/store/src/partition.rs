//! Monthly partitions of target, record, audit and audit_seal. Their ids are UUIDv7, so a month is
//! a range of ids.
//!
//! There is no DEFAULT partition: with one, detaching a partition would block all writers. Every
//! change of a partitioned table here takes a lock that does not conflict with readers and writers
//! of its rows.

use std::fmt;

use domain::{
    Timestamp,
    retention::{Month, PartitionState, months_in_use},
};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::{Connection, Error};

/// Arbitrary id of the advisory lock that serialises the creation of partitions.
const MAKE_LOCK: i64 = 0x6772_6179_0001;

/// A partitioned table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Targets, by the id of their task.
    Target,
    /// Records, by the id of their task.
    Record,
    /// The audit, by the id of its entries.
    Audit,
    /// The seals of the audit, by their id.
    AuditSeal,
}

impl Table {
    /// All partitioned tables.
    pub const ALL: [Self; 4] = [Self::Target, Self::Record, Self::Audit, Self::AuditSeal];

    /// Returns whether the table is part of the audit: append only, and kept as long as the audit.
    pub const fn is_audit(self) -> bool {
        matches!(self, Self::Audit | Self::AuditSeal)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Record => "record",
            Self::Audit => "audit",
            Self::AuditSeal => "audit_seal",
        }
    }
}

/// One month of a table. Formats as the name of the partition's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Partitioned table.
    pub table: Table,
    /// Month of the partition.
    pub month: Month,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.table.as_str(), self.month)
    }
}

/// Lists the partitions of a table, oldest first, including detached ones that still exist.
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
        // Ignores other tables with a similar name.
        Some((Partition { table, month: row.month.parse().ok()? }, standing))
    });
    Ok(known.collect())
}

/// Creates missing partitions for the months that may receive writes now. Several processes may
/// call it concurrently.
pub async fn ensure(connection: &mut Connection, now: Timestamp) -> Result<(), Error> {
    if missing(connection, now).await?.is_empty() {
        return Ok(());
    }
    let mut tx = connection.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *tx).await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", MAKE_LOCK).execute(&mut *tx).await?;
    // A concurrent process may have created them while this one waited.
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

/// Attaches a partition to its table, and creates it first if it is missing.
pub async fn attach(connection: &mut Connection, partition: Partition) -> Result<(), Error> {
    let mut statements = attach_statements(partition).into_iter();
    if let Some(create) = statements.next() {
        execute(connection, create).await?;
    }
    give_to_owner(connection, partition).await?;
    for statement in statements {
        execute(connection, statement).await?;
    }
    Ok(())
}

/// Gives a partition that another role created to the owner of its table, who will drop it.
async fn give_to_owner(connection: &mut Connection, partition: Partition) -> Result<(), Error> {
    let owner = sqlx::query_scalar!(
        r#"SELECT quote_ident(pg_get_userbyid(p.relowner)) AS "owner!"
           FROM pg_class p JOIN pg_class c ON c.oid = to_regclass($2) AND c.relowner <> p.relowner
           WHERE p.oid = to_regclass($1)"#,
        partition.table.as_str(),
        partition.to_string(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    match owner {
        Some(owner) => execute(connection, format!("ALTER TABLE {partition} OWNER TO {owner}")).await,
        None => Ok(()),
    }
}

/// Creates the partition as a separate table first. Creating it as a partition directly would block
/// all access to the parent table.
fn attach_statements(partition: Partition) -> Vec<String> {
    let Partition { table, month } = partition;
    let whole = table.as_str();
    let ids = month.ids();
    let create = format!("CREATE TABLE IF NOT EXISTS {partition} (LIKE {whole} INCLUDING ALL)");
    let attach = format!(
        "ALTER TABLE {whole} ATTACH PARTITION {partition} FOR VALUES FROM ('{}') TO ('{}')",
        ids.start, ids.end
    );
    // The parent's trigger does not apply to statements that name the partition.
    let guard = format!(
        "CREATE OR REPLACE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {partition}
         FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    );
    if table.is_audit() { vec![create, guard, attach] } else { vec![create, attach] }
}

/// Detaches a partition while other transactions read and write its table. Waits for all earlier
/// transactions that read the table, so it must not run in a transaction. Returns false if they
/// took too long; [`finish_detaching`] then completes the detach later.
pub async fn detach(connection: &mut Connection, partition: Partition) -> Result<bool, Error> {
    let whole = partition.table.as_str();
    in_time(
        execute(connection, format!("ALTER TABLE {whole} DETACH PARTITION {partition} CONCURRENTLY")).await,
    )
}

/// Completes an interrupted detach. Returns false if other transactions took too long again.
pub async fn finish_detaching(connection: &mut Connection, partition: Partition) -> Result<bool, Error> {
    let whole = partition.table.as_str();
    in_time(execute(connection, format!("ALTER TABLE {whole} DETACH PARTITION {partition} FINALIZE")).await)
}

/// Drops a detached partition. Returns false if another transaction locked it for too long.
pub async fn drop(connection: &mut Connection, partition: Partition) -> Result<bool, Error> {
    in_time(execute(connection, format!("DROP TABLE IF EXISTS {partition}")).await)
}

/// Executes a statement whose names and bounds derive only from the calendar.
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
    fn partition_has_its_months_ids_and_audits_get_a_guard() {
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
