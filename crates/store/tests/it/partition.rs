//! Monthly partitions of target, record and audit.

use domain::retention::PartitionState;
use sqlx::{AssertSqlSafe, PgConnection};
use store::partition::{self, Table};

async fn migrated() -> testkit::TestDatabase {
    let database = testkit::empty_database().await.unwrap();
    database.store.migrate().await.unwrap();
    database
}

async fn months(connection: &mut PgConnection, table: Table) -> Vec<String> {
    let there = partition::list(connection, table).await.unwrap();
    assert!(there.iter().all(|(_, standing)| *standing == PartitionState::Attached), "{there:?}");
    let months = there.iter().map(|(partition, _)| partition.month.to_string());
    months.filter(|month| month.starts_with("2020")).collect()
}

#[tokio::test]
async fn concurrent_creation_of_partitions_blocks_no_reads_or_writes() {
    let database = migrated().await;
    let mut other = database.connection().await.unwrap();
    let mut writer = database.store.begin().await.unwrap();
    // A statement that creates a partition under an exclusive lock would wait for these locks until
    // it times out.
    for statement in
        ["LOCK TABLE target, record, audit IN ROW EXCLUSIVE MODE", "SELECT FROM target, record, audit"]
    {
        sqlx::query(statement).execute(&mut *writer).await.unwrap();
    }
    let now = "2020-02-15T00:00:00Z".parse().unwrap();
    let mut connection = database.connection().await.unwrap();
    let (one, two) =
        tokio::join!(partition::ensure(&mut connection, now), partition::ensure(&mut other, now));
    one.unwrap();
    two.unwrap();
    for table in Table::ALL {
        assert_eq!(
            months(&mut connection, table).await,
            ["2020_02", "2020_03", "2020_04", "2020_05"],
            "{table:?}"
        );
    }
}

#[tokio::test]
async fn a_partition_has_all_that_its_table_has() {
    let database = migrated().await;
    let mut connection = database.connection().await.unwrap();
    partition::ensure(&mut connection, "2020-02-15T00:00:00Z".parse().unwrap()).await.unwrap();
    let lacking: Vec<String> = sqlx::query_scalar(
        "SELECT p.inhrelid::regclass || ' lacks ' || i.indexrelid::regclass
         FROM pg_inherits p JOIN pg_index i ON i.indrelid = p.inhparent
         WHERE p.inhparent IN ('target'::regclass, 'record'::regclass, 'audit'::regclass)
           AND NOT EXISTS (SELECT FROM pg_inherits x JOIN pg_index own ON own.indexrelid = x.inhrelid
                           WHERE x.inhparent = i.indexrelid AND own.indrelid = p.inhrelid AND own.indisvalid)",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(lacking.is_empty(), "{lacking:?}");
}

#[tokio::test]
async fn a_page_of_the_audit_is_read_from_its_index_month_by_month() {
    let database = migrated().await;
    let mut connection = database.connection().await.unwrap();
    sqlx::query("SET enable_seqscan = off").execute(&mut connection).await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(
        "EXPLAIN (COSTS OFF) SELECT * FROM audit
         WHERE project_id = 'p' AND audit_id < 'ffffffff-0000-7000-8000-000000000000' ORDER BY audit_id DESC LIMIT 10",
    ))
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("Append") && !plan.contains("Sort") && !plan.contains("Seq Scan"), "{plan}");
    assert!(plan.contains("project_id_audit_id_idx"), "{plan}");
}
