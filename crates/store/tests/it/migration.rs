//! A database of an earlier version is brought up to date with all its rows.

use std::borrow::Cow;

use domain::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection, migrate::Migrator};
use store::partition;

/// The schema before there were months of the audit.
async fn migrate_to_5(connection: &mut PgConnection) {
    let all = sqlx::migrate!("../../migrations");
    let old = all.iter().filter(|migration| migration.version <= 5).cloned().collect();
    Migrator { migrations: Cow::Owned(old), ..all }.run(connection).await.unwrap();
}

async fn execute(connection: &mut PgConnection, statement: impl Into<String>) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(statement.into())).execute(connection).await.map(drop)
}

/// Each table with the partition that every row is in.
async fn places(connection: &mut PgConnection) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT * FROM (
             SELECT tableoid::regclass::text, desktop_id AS row FROM target
             UNION ALL SELECT tableoid::regclass::text, output FROM record
             UNION ALL SELECT tableoid::regclass::text, resource FROM audit) AS places
         ORDER BY 1, 2",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

/// 2020-01-01T00:00:00Z and the millisecond before; 2020-06-15; 2020-07-10.
const JANUARY: &str = "016f5e66-e800-7000-8000-000000000001";
const DECEMBER: &str = "016f5e66-e7ff-7000-8000-000000000001";
const JUNE: &str = "0172b546-9000-7000-8000-000000000001";
const JULY: &str = "01733605-8c00-7000-8000-000000000001";

#[tokio::test]
async fn rows_of_no_months_partition_and_the_audit_get_partitions_and_none_is_lost() {
    let database = testkit::empty_database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    migrate_to_5(&mut connection).await;
    execute(
        &mut connection,
        "CREATE TABLE target_2020_07 PARTITION OF target
         FOR VALUES FROM ('017307ac-5000-0000-0000-000000000000') TO ('0173a751-7400-0000-0000-000000000000')",
    )
    .await
    .unwrap();
    for id in [JANUARY, DECEMBER, JUNE, JULY] {
        execute(&mut connection, format!("INSERT INTO target VALUES ('{id}', 0, 'target of {id}', 1, 2)"))
            .await
            .unwrap();
        execute(
            &mut connection,
            format!(
                "INSERT INTO record (task_id, ordinal, script, attempt, outcome, ended_at, output, reason, signature_id)
                 VALUES ('{id}', 0, 0, 1, 'FAILED', now(), 'record of {id}', '', 7)"
            ),
        )
        .await
        .unwrap();
        execute(
            &mut connection,
            format!(
                "INSERT INTO audit (audit_id, project_id, at, principal, credential, action, resource, result, reason, source,
                                    request_id)
                 VALUES ('{id}', 'p', now(), 'who', '', 'what', 'audit of {id}', 'DONE', 'why', 'where', 'r')"
            ),
        )
        .await
        .unwrap();
    }

    database.store.migrate().await.unwrap();
    let expected: Vec<(String, String)> = ["audit", "record", "target"]
        .into_iter()
        .flat_map(|table| {
            [("2019_12", DECEMBER), ("2020_01", JANUARY), ("2020_06", JUNE), ("2020_07", JULY)]
                .map(|(month, id)| (format!("{table}_{month}"), format!("{table} of {id}")))
        })
        .collect();
    assert_eq!(places(&mut connection).await, expected);
    let whole: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM target JOIN record USING (task_id, ordinal) JOIN audit ON audit_id = task_id
         WHERE first_script = 2 AND signature_id = 7 AND (principal, audit.reason, source) = ('who', 'why', 'where')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(whole, 4, "column by column");

    for table in ["audit", "audit_2019_12"] {
        for statement in ["UPDATE audit SET action = ''", "DELETE FROM audit", "TRUNCATE audit"] {
            let error = execute(&mut connection, statement.replace("audit", table)).await.unwrap_err();
            assert!(error.to_string().contains("append only"), "{statement} of {table}: {error}");
        }
    }
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relname ~ '(default|whole)' AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_migrated_database_takes_what_is_made_now_without_anything_else() {
    let database = testkit::empty_database().await.unwrap();
    database.store.migrate().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let now: Timestamp = chrono::Utc::now();
    for table in partition::Table::ALL {
        let there = partition::list(&mut connection, table).await.unwrap();
        let month = domain::retention::Month::of(now);
        assert!(there.iter().any(|(partition, _)| partition.month == month), "{table:?}");
    }
}
