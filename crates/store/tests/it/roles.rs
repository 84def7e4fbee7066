//! The three database roles: what Postgres refuses to each of them.

use domain::audit::NO_DETAILS;
use sqlx::{AssertSqlSafe, PgConnection};
use store::{audit, partition, roles};
use testkit::{DatabaseRoles, project};
use uuid::Uuid;

/// SQLSTATE of a refused statement; `None` if it succeeded.
async fn code(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let failed = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(connection).await.err()?;
    let code = failed.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
    Some(code.unwrap_or_else(|| failed.to_string()))
}

fn this_month() -> String {
    chrono::Utc::now().format("%Y_%m").to_string()
}

#[tokio::test]
async fn runtime_role_cannot_change_the_audit() {
    let roles = DatabaseRoles::new().await.unwrap();
    let mut runtime = roles.connection(&roles.runtime).await.unwrap();
    let now = chrono::Utc::now();
    let entry = audit::NewEntry {
        audit_id: Uuid::now_v7(),
        project_id: Some(&project()),
        at: now,
        principal: "ann",
        credential: "",
        action: "do",
        resource: "",
        result: "DONE",
        reason: "",
        source: "",
        request_id: "",
        details: NO_DETAILS,
    };
    audit::insert(&mut runtime, &entry).await.unwrap();
    let listed =
        audit::list(&mut runtime, Some(&project()), &audit::AuditFilter::default(), 9).await.unwrap();
    assert_eq!(listed.len(), 1);
    let month = this_month();
    let mut refused = Vec::new();
    for (table, column) in [
        ("audit", "principal"),
        ("audit_seal", "seal"),
        ("audit_signer", "certificate"),
        ("audit_checkpoint", "seal"),
    ] {
        refused.extend([
            format!("UPDATE {table} SET {column} = {column}"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("DROP TRIGGER audit_append_only ON {table}"),
            format!("DROP TABLE {table} CASCADE"),
        ]);
    }
    for table in ["audit", "audit_seal", "record", "target"] {
        refused.extend([
            format!("ALTER TABLE {table} DETACH PARTITION {table}_{month}"),
            format!("DROP TABLE {table}_{month}"),
            format!("DELETE FROM {table}_{month}"),
            format!("INSERT INTO {table}_{month} SELECT * FROM {table}_{month}"),
            format!("ALTER TABLE {table}_{month} DISABLE TRIGGER ALL"),
        ]);
    }
    refused.extend(
        [
            "DELETE FROM audit_chain",
            "UPDATE _sqlx_migrations SET success = false",
            "CREATE TABLE mine (a int)",
            "CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "SET session_replication_role = replica",
            "ALTER TABLE task ADD COLUMN mine int",
        ]
        .map(str::to_owned),
    );
    refused.push(format!("SET ROLE {}", roles.partition));
    refused.push(format!("SET ROLE {}", roles.owner));
    for statement in refused {
        let code = code(&mut runtime, &statement).await;
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
    drop(runtime);
    roles.end().await.unwrap();
}

#[tokio::test]
async fn partition_role_maintains_partitions_and_reads_no_other_table() {
    let roles = DatabaseRoles::new().await.unwrap();
    let mut partition = roles.connection(&roles.partition).await.unwrap();
    partition::ensure(&mut partition, "2020-02-15T00:00:00Z".parse().unwrap()).await.unwrap();
    // A partition that the migration creates belongs to the partition role too.
    let mut owner = roles.connection(&roles.owner).await.unwrap();
    partition::ensure(&mut owner, "2021-02-15T00:00:00Z".parse().unwrap()).await.unwrap();
    for month in ["2020_02", "2021_02"] {
        for table in partition::Table::ALL {
            let old = partition::Partition { table, month: month.parse().unwrap() };
            assert!(partition::detach(&mut partition, old).await.unwrap(), "{old}");
            assert!(partition::drop(&mut partition, old).await.unwrap(), "{old}");
        }
    }
    for statement in ["SELECT FROM token", "SELECT FROM task", "DELETE FROM worker", "DROP TABLE task"] {
        assert_eq!(code(&mut partition, statement).await.as_deref(), Some("42501"), "{statement}");
    }
    drop((partition, owner));
    roles.end().await.unwrap();
}

#[tokio::test]
async fn name_that_is_no_role_is_refused() {
    let database = testkit::empty_database().await.unwrap();
    database.store.migrate().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    for wrong in ["", "a b", "x; DROP TABLE task", "a$graywave$", "\"quoted\""] {
        assert!(roles::grant(&mut connection, wrong, "p").await.is_err(), "{wrong}");
    }
}
