//! The schema of a new database.

use chrono::Utc;
use domain::retention::months_in_use;
use sqlx::AssertSqlSafe;
use store::{
    NotUsable,
    partition::{Partition, Table},
};

/// Returns the partitions of a table that receive rows now.
fn in_use(table: Table) -> impl Iterator<Item = Partition> {
    months_in_use(Utc::now()).map(move |month| Partition { table, month })
}

#[tokio::test]
async fn a_new_database_has_the_partitions_in_use_and_no_other() {
    let database = testkit::empty_database().await.unwrap();
    database.store.migrate().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let mut found: Vec<String> = sqlx::query_scalar(
        "SELECT i.inhrelid::regclass::text FROM pg_inherits i
         JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    found.sort_unstable();
    let mut expected: Vec<String> =
        Table::ALL.into_iter().flat_map(in_use).map(|partition| partition.to_string()).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_change_of_a_new_audit_partition_is_refused() {
    let database = testkit::empty_database().await.unwrap();
    database.store.migrate().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    for partition in in_use(Table::Audit) {
        for statement in [
            format!("UPDATE {partition} SET action = ''"),
            format!("DELETE FROM {partition}"),
            format!("TRUNCATE {partition}"),
        ] {
            let error =
                sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut connection).await.unwrap_err();
            assert!(error.to_string().contains("append only"), "{statement}: {error}");
        }
    }
}

#[tokio::test]
async fn unmigrated_database_is_not_usable_until_its_migration() {
    let database = testkit::empty_database().await.unwrap();
    database.store.check_reachable().await.unwrap();
    assert_eq!(database.store.check_usable().await, Err(NotUsable::NoSchema));
    database.store.migrate().await.unwrap();
    assert_eq!(database.store.check_usable().await, Ok(()));
}
