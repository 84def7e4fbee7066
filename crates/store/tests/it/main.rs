//! Statements whose effect shows only on a real Postgres.

#![expect(clippy::unwrap_used, reason = "a panic in a test helper fails the test")]

mod agent_versions;
mod connection_watchdog;
mod enrolment;
mod lifecycle;
mod migration;
mod partition;
mod plans;
mod reads;
mod reconnect;
mod records;
mod roles;
mod standby;
mod task_change;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    Timestamp,
    ids::WorkerId,
    schema::{DatabaseSchema, DoesNotFit, SCHEMA_VERSION},
};
use sqlx::PgConnection;
use store::{NotUsable, PoolOptions, Store, desktop, worker};
use testkit::{Submit, desktop, desktop_id, project, submit};

fn now() -> Timestamp {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// Schema of this program.
const fn fitting() -> DatabaseSchema {
    DatabaseSchema { version: SCHEMA_VERSION, is_different: false }
}

fn worker_id(name: &str) -> WorkerId {
    name.parse().unwrap()
}

async fn text(connection: &mut PgConnection, statement: &'static str) -> String {
    sqlx::query_scalar(statement).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn migrations_may_run_again_and_together() {
    let database = testkit::database().await.unwrap();
    let other = database.another_store().unwrap();
    let (one, two) = tokio::join!(database.store.migrate(), other.migrate());
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn a_schema_that_is_newer_than_the_program_is_left_as_it_is() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'of a later version', true, '\\x00', 0)";
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    database.store.migrate().await.unwrap();
    let newer = DatabaseSchema { version: 9999, is_different: false };
    assert_eq!(database.store.schema().await.unwrap(), newer);
    database.store.check_usable().await.unwrap();
}

#[tokio::test]
async fn version_of_the_schema_is_its_newest_migration() {
    let database = testkit::database().await.unwrap();
    assert_eq!(database.store.schema().await.unwrap(), fitting());
    database.store.check_usable().await.unwrap();

    let empty = testkit::empty_database().await.unwrap();
    assert_eq!(empty.store.schema().await.unwrap(), DatabaseSchema::default());
    assert_eq!(empty.store.check_usable().await, Err(NotUsable::NoSchema));
    empty.store.migrate().await.unwrap();
    assert_eq!(empty.store.schema().await.unwrap(), fitting());
}

#[tokio::test]
async fn failed_migration_does_not_count() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET success = false").execute(&mut connection).await.unwrap();
    assert_eq!(database.store.schema().await.unwrap(), DatabaseSchema::default());
}

#[tokio::test]
async fn schema_is_known_while_the_database_is_away() {
    let database = testkit::database().await.unwrap();
    let schema = database.store.schema().await.unwrap();
    database.store.close().await;
    assert!(database.store.ping().await.is_err());
    assert_eq!(database.store.schema().await.unwrap(), schema);
}

#[tokio::test]
async fn schema_is_read_again_at_another_address() {
    let (database, empty) = (testkit::database().await.unwrap(), testkit::empty_database().await.unwrap());
    assert_eq!(database.store.schema().await.unwrap(), fitting());
    database.store.reconnect(&PoolOptions::new(&empty.url)).unwrap();
    assert_eq!(database.store.schema().await.unwrap(), DatabaseSchema::default());
}

#[tokio::test]
async fn other_migration_of_the_same_number_does_not_fit() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET checksum = '\\x00'").execute(&mut connection).await.unwrap();
    let found = database.store.schema().await.unwrap();
    assert_eq!(found, DatabaseSchema { is_different: true, ..fitting() });
    let reason = DoesNotFit::Different { version: SCHEMA_VERSION };
    assert_eq!(database.store.check_usable().await, Err(NotUsable::Schema(reason)));
    // The former contents again: nothing is cached before.
    let fixed = testkit::database().await.unwrap();
    let checksum: Vec<u8> = sqlx::query_scalar("SELECT checksum FROM _sqlx_migrations")
        .fetch_one(&mut fixed.connection().await.unwrap())
        .await
        .unwrap();
    let restore = sqlx::query("UPDATE _sqlx_migrations SET checksum = $1").bind(checksum);
    restore.execute(&mut connection).await.unwrap();
    assert_eq!(database.store.schema().await.unwrap(), fitting());
}

#[tokio::test]
async fn targets_go_to_their_months_partition_made_once() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    for _ in 0..2 {
        store::partition::ensure(&mut connection, Utc::now()).await.unwrap();
    }
    // The id is created now, regardless of the time parameter.
    submit(&database.store, Submit { targets: 3, ..Submit::default() }, now()).await.unwrap();
    let month = Utc::now().format("target_%Y_%m").to_string();
    assert_eq!(text(&mut connection, "SELECT DISTINCT tableoid::regclass::text FROM target").await, month);
}

#[tokio::test]
async fn late_disconnect_of_the_old_worker_keeps_new_presence() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let (old, new) = (worker_id("old"), worker_id("new"));
    desktop::connected(&mut connection, &old, &[desktop(1), desktop(2)], now()).await.unwrap();
    desktop::connected(&mut connection, &new, &[desktop(1)], now()).await.unwrap();
    let gone = [(project(), desktop_id(1)), (project(), desktop_id(2))];
    desktop::disconnected(&mut connection, &old, &gone, now()).await.unwrap();
    let holders = "SELECT string_agg(desktop_id || '=' || coalesce(worker_id, '-'), ' ' ORDER BY desktop_id) FROM desktop";
    assert_eq!(text(&mut connection, holders).await, "desktop-1=new desktop-2=-");
    desktop::worker_gone(&mut connection, &new, now()).await.unwrap();
    assert_eq!(text(&mut connection, holders).await, "desktop-1=- desktop-2=-");
}

#[tokio::test]
async fn a_worker_that_was_heard_again_is_not_forgotten_as_silent() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let w = worker_id("w");
    assert!(
        worker::record_heartbeat(&mut connection, &w, "here", 1, false, now()).await.unwrap().is_new,
        "new"
    );
    let later = now() + TimeDelta::seconds(10);
    assert_eq!(worker::silent_since(&mut connection, later).await.unwrap(), std::slice::from_ref(&w));
    // A heartbeat arrives between the query and the deletion.
    assert!(!worker::record_heartbeat(&mut connection, &w, "here", 1, false, later).await.unwrap().is_new);
    assert!(!worker::delete(&mut connection, &w, Some(later)).await.unwrap());
    assert!(worker::delete(&mut connection, &w, None).await.unwrap());
}

#[tokio::test]
async fn missing_database_is_unavailable_within_the_timeout() {
    let options = PoolOptions {
        acquire_timeout: Duration::from_millis(200),
        ..PoolOptions::new("postgres://nobody@127.0.0.1:1/nothing")
    };
    let error = Store::connect(&options).unwrap().ping().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert_eq!(domain::Error::from(error).kind(), domain::ErrorKind::Unavailable);
}
