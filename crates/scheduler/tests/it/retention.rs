//! Retention deletes expired data, keeps data that is still needed and blocks no other transaction.
//! All tests use 2020, so no month is the current one.

use std::{collections::BTreeMap, time::Duration};

use domain::{Timestamp, ids::TaskId, outcome::Outcome};
use scheduler::{Config, Retention, Scheduler};
use sqlx::{AssertSqlSafe, PgConnection};
use store::{PoolOptions, Store, partition, retention};
use testkit::{Submit, project};
use uuid::Uuid;

use crate::harness::{Harness, result, worker};

const KEEP: Retention = Retention { tasks_days: 90, audit_days: 90 };

pub(crate) fn at(day: &str) -> Timestamp {
    format!("{day}T12:00:00Z").parse().unwrap()
}

/// UUIDv7 of the given time.
fn id_at(at: Timestamp) -> Uuid {
    const TIME: u128 = ((1 << 48) - 1) << 80;
    let ms = u128::from(at.timestamp_millis().cast_unsigned());
    Uuid::from_u128(ms << 80 | Uuid::now_v7().as_u128() & !TIME)
}

/// Creates a database with the partitions of January to September 2020.
async fn harness() -> Harness {
    let database = testkit::empty_database().await.unwrap();
    database.store.migrate().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    for day in ["2020-01-15", "2020-04-15", "2020-06-15"] {
        partition::ensure(&mut connection, at(day)).await.unwrap();
    }
    let engine = Scheduler::new(database.store.clone(), Config::default());
    Harness { database, engine }
}

/// Submits a task over two desktops, created on a given day and leased to a worker.
async fn running(harness: &Harness, made: &str) -> TaskId {
    let (now, w) = (at(made), worker("w"));
    harness.online(&w, 0..2, now).await;
    let submit = Submit { task_id: Some(TaskId(id_at(now))), targets: 2, ..Submit::default() };
    let task_id = testkit::submit(harness.store(), submit, now).await.unwrap();
    while harness.engine.admit(task_id, now).await.unwrap() {}
    assert_eq!(harness.lease(&w, 10, now).await.len(), 1);
    task_id
}

async fn end(harness: &Harness, task_id: TaskId, ended: &str) {
    let results = (0..2).map(|ordinal| result(task_id, None, ordinal, Outcome::Failed)).collect();
    let answer = harness.engine.report(&worker("w"), results, Vec::new(), at(ended)).await.unwrap();
    assert!(answer.refused.is_empty(), "{:?}", answer.refused);
    assert_eq!(harness.task(task_id).await.ended_at, Some(at(ended)));
}

pub(crate) async fn ended(harness: &Harness, made: &str, ended: &str) -> TaskId {
    let task_id = running(harness, made).await;
    end(harness, task_id, ended).await;
    task_id
}

pub(crate) async fn audit_entry(connection: &mut PgConnection, day: &str) -> Uuid {
    let entry = store::audit::NewEntry {
        audit_id: id_at(at(day)),
        project_id: Some(&project()),
        at: at(day),
        principal: "a-test",
        credential: "none",
        action: "do",
        resource: "it",
        result: "DONE",
        reason: "",
        source: "",
        request_id: "",
        details: domain::audit::NO_DETAILS,
    };
    store::audit::insert(connection, &entry).await.unwrap();
    entry.audit_id
}

async fn retain(harness: &Harness, keep: Retention, day: &str) {
    while harness.engine.seal_all(at(day)).await.unwrap() {}
    assert!(!harness.engine.retain(&keep, at(day)).await.unwrap(), "one tick did not finish the sweep");
}

async fn execute(connection: &mut PgConnection, statement: &str) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(done.rows_affected())
}

/// Partitions of 2020, attached and detached.
async fn partitions(harness: &Harness, table: &str) -> Vec<String> {
    let mut connection = harness.database.connection().await.unwrap();
    sqlx::query_scalar("SELECT substr(relname, length($1) + 7) FROM pg_class WHERE relname LIKE $1 || '\\_2020\\___' ORDER BY 1")
        .bind(table)
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

async fn exists(harness: &Harness, task_id: TaskId) -> bool {
    let mut connection = harness.database.connection().await.unwrap();
    store::task::fetch(&mut connection, &project(), task_id).await.unwrap().is_some()
}

/// Number of rows of a task in each table. Unlogged tables hold live output, which expires within
/// minutes by itself.
async fn rows(harness: &Harness, task_id: TaskId) -> BTreeMap<String, i64> {
    let mut connection = harness.database.connection().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'task_id'
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut rows = BTreeMap::new();
    for table in tables {
        let number =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE task_id = $1")))
                .bind(task_id.0)
                .fetch_one(&mut connection)
                .await
                .unwrap();
        rows.insert(table, number);
    }
    rows
}

#[tokio::test]
async fn expired_rows_go_with_their_dependants_and_others_stay() {
    let harness = harness().await;
    let old = ended(&harness, "2020-01-10", "2020-01-11").await;
    // This task is older than 90 days too, but its month is not over.
    let kept = ended(&harness, "2020-03-01", "2020-03-01").await;
    let mut connection = harness.database.connection().await.unwrap();
    for task_id in [old, kept] {
        let id = task_id.0;
        for statement in [
            format!(
                "INSERT INTO target_stop (task_id, ordinal, script, created_at) VALUES ('{id}', 0, 0, now())"
            ),
            format!(
                "INSERT INTO deferred_target (task_id, ordinal, project_id, desktop_id, wave, maybe_delivered,
                                              deliver_by, finish_by, wait_until)
                 VALUES ('{id}', 0, 'p', 'd', 1, false, now(), now(), now())"
            ),
            format!(
                "INSERT INTO awaited_return (task_id, ordinal, project_id, desktop_id, agent_id, wave, boot_id,
                                             return_by, results, records)
                 VALUES ('{id}', 0, 'p', 'd', 'a', 1, 'b', now(), 1, '[]')"
            ),
            format!(
                "INSERT INTO batch (task_id, batch_id, wave, worker_id, ordinals, desktop_ids, agent_ids, status, maybe_delivered,
                                    query_only, deliver_by, finish_by, wait_until, created_at)
                 VALUES ('{id}', '{id}', 1, 'w', '{{0}}', '{{d}}', '{{a}}', 'READY', false, false, now(), now(), now(),
                         now())"
            ),
            format!(
                "INSERT INTO newest_record (project_id, task_id, part, newest)
                 SELECT project_id, task_id, 0, B'11' FROM task WHERE task_id = '{id}'"
            ),
        ] {
            execute(&mut connection, &statement).await.unwrap();
        }
    }
    let (of_old, of_kept) = (rows(&harness, old).await, rows(&harness, kept).await);
    let tables: Vec<&str> = of_old.keys().map(String::as_str).collect();
    assert_eq!(
        tables,
        [
            "awaited_return",
            "batch",
            "deferred_target",
            "failure_group",
            "newest_record",
            "record",
            "target",
            "target_stop",
            "task",
            "task_change",
            "task_event",
            "task_script",
            "unprojected_task",
            "wave"
        ],
        "a table with task rows is missing from store::retention"
    );
    assert!(of_old.values().all(|&rows| rows > 0), "{of_old:?}");

    retain(&harness, KEEP, "2020-06-15").await;
    assert!(rows(&harness, old).await.values().all(|&rows| rows == 0));
    assert_eq!(rows(&harness, kept).await, of_kept);
    for table in ["target", "record", "audit"] {
        assert_eq!(partitions(&harness, table).await, ["03", "04", "05", "06", "07", "08", "09"], "{table}");
    }
    // An agent that was offline for months reports its result: its task no longer exists.
    let late = vec![result(old, None, 0, Outcome::Success)];
    let answer = harness.engine.report(&worker("w"), late, Vec::new(), at("2020-06-15")).await.unwrap();
    assert_eq!(answer.refused, [(old, 0, "no such task".to_owned())]);
}

#[tokio::test]
async fn running_or_recent_task_keeps_only_its_own_month() {
    let harness = harness().await;
    let long = running(&harness, "2020-01-10").await;
    let short = ended(&harness, "2020-01-10", "2020-01-10").await;
    let of_long = rows(&harness, long).await;
    retain(&harness, KEEP, "2020-06-15").await;
    assert_eq!(rows(&harness, long).await, of_long);
    assert!(!exists(&harness, short).await);
    assert_eq!(partitions(&harness, "target").await, ["01", "03", "04", "05", "06", "07", "08", "09"]);

    end(&harness, long, "2020-06-20").await;
    retain(&harness, KEEP, "2020-09-15").await;
    assert!(exists(&harness, long).await, "it ended 87 days ago");
    assert_eq!(partitions(&harness, "record").await, ["01", "06", "07", "08", "09"]);
    retain(&harness, KEEP, "2020-09-19").await;
    assert!(!exists(&harness, long).await);
    assert_eq!(partitions(&harness, "record").await, ["06", "07", "08", "09"]);
}

#[tokio::test]
async fn retry_outlives_the_task_that_it_retries() {
    let harness = harness().await;
    let (old, new) = (
        ended(&harness, "2020-01-10", "2020-06-01").await,
        ended(&harness, "2020-02-10", "2020-02-10").await,
    );
    let (early, late) = (
        ended(&harness, "2020-01-10", "2020-01-10").await,
        ended(&harness, "2020-02-10", "2020-06-01").await,
    );
    let mut connection = harness.database.connection().await.unwrap();
    for (retry, retried) in [(new, old), (late, early)] {
        let statement = format!("UPDATE task SET retry_of = '{}' WHERE task_id = '{}'", retried.0, retry.0);
        execute(&mut connection, &statement).await.unwrap();
    }
    retain(&harness, KEEP, "2020-06-15").await;
    // Without the retry, the old task could be retried twice.
    assert_eq!(harness.task(old).await.retried_by, [new]);
    assert!(!exists(&harness, early).await);
    assert_eq!(harness.task(late).await.retry_of.map(|retry| retry.task_id), Some(early));
    assert_eq!(partitions(&harness, "target").await, ["01", "02", "03", "04", "05", "06", "07", "08", "09"]);
    retain(&harness, KEEP, "2020-09-15").await;
    assert_eq!(harness.count("SELECT count(*) FROM task").await, 0);
}

#[tokio::test]
async fn the_audit_has_an_age_of_its_own_and_stays_append_only() {
    let harness = harness().await;
    let task_id = ended(&harness, "2020-01-10", "2020-01-10").await;
    audit_entry(&mut harness.database.connection().await.unwrap(), "2020-01-10").await;
    audit_entry(&mut harness.database.connection().await.unwrap(), "2020-02-29").await;
    let kept = audit_entry(&mut harness.database.connection().await.unwrap(), "2020-03-01").await;
    retain(&harness, Retention { tasks_days: 0, audit_days: 90 }, "2020-06-15").await;
    let mut connection = harness.database.connection().await.unwrap();
    let listed =
        store::audit::list(&mut connection, Some(&project()), &store::audit::AuditFilter::default(), 10)
            .await;
    let listed: Vec<Uuid> = listed.unwrap().into_iter().map(|entry| entry.audit_id).collect();
    assert_eq!(listed, [kept]);
    assert_eq!(partitions(&harness, "audit").await[0], "03");
    // 0 days means forever.
    assert!(exists(&harness, task_id).await);
    assert_eq!(partitions(&harness, "target").await[0], "01");
    for table in ["audit", "audit_2020_03", "audit_2020_09"] {
        for statement in ["UPDATE audit SET principal = 'x'", "DELETE FROM audit", "TRUNCATE audit"] {
            let error = execute(&mut connection, &statement.replace("audit", table)).await.unwrap_err();
            assert!(error.to_string().contains("append only"), "{statement} of {table}: {error}");
        }
    }
}

/// Leaves a month's target partition like an interrupted waiting detach, and its record partition
/// like a detach interrupted before the drop.
async fn cut_off(harness: &Harness, month: &str) {
    let mut reader = harness.database.connection().await.unwrap();
    execute(&mut reader, "BEGIN").await.unwrap();
    execute(&mut reader, "SELECT FROM target").await.unwrap();
    let mut other = harness.database.connection().await.unwrap();
    execute(&mut other, "SET statement_timeout = '100ms'").await.unwrap();
    let detach = format!("ALTER TABLE target DETACH PARTITION target_2020_{month} CONCURRENTLY");
    assert!(execute(&mut other, &detach).await.unwrap_err().to_string().contains("timeout"));
    let detach = format!("ALTER TABLE record DETACH PARTITION record_2020_{month}");
    execute(&mut other, &detach).await.unwrap();
    let pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";
    assert_eq!(harness.count(pending).await, 1);
    execute(&mut reader, "COMMIT").await.unwrap();
}

#[tokio::test]
async fn what_an_interrupted_tick_began_is_brought_to_its_end() {
    let harness = harness().await;
    ended(&harness, "2020-02-10", "2020-02-10").await;
    // Not the first expired partition: until this one is finished, no other detach can start.
    cut_off(&harness, "02").await;
    retain(&harness, KEEP, "2020-06-15").await;
    for table in ["target", "record"] {
        assert_eq!(partitions(&harness, table).await[0], "03", "{table}");
    }
}

#[tokio::test]
async fn what_was_begun_on_a_month_that_is_needed_is_put_back() {
    let harness = harness().await;
    let task_id = running(&harness, "2020-01-10").await;
    let before = rows(&harness, task_id).await;
    cut_off(&harness, "01").await;
    assert_ne!(rows(&harness, task_id).await, before);
    retain(&harness, KEEP, "2020-06-15").await;
    assert_eq!(rows(&harness, task_id).await, before);
    end(&harness, task_id, "2020-06-15").await;
    // The same with a longer retention, for a month that has not expired.
    cut_off(&harness, "01").await;
    retain(&harness, Retention { tasks_days: 0, audit_days: 0 }, "2020-06-15").await;
    assert_eq!(rows(&harness, task_id).await["record"], 2);
}

#[tokio::test]
async fn two_at_once_do_no_harm_and_one_waits_for_nobody() {
    let harness = harness().await;
    ended(&harness, "2020-01-10", "2020-01-10").await;
    let other = Scheduler::new(harness.database.another_store().unwrap(), Config::default());
    let at_it = retention::exclusive(harness.store()).await.unwrap().unwrap();
    assert!(!other.retain(&KEEP, at("2020-06-15")).await.unwrap());
    assert_eq!(partitions(&harness, "target").await[0], "01", "another scheduler holds the lock");
    drop(at_it);
    let both = async {
        // The database notices the dropped connection a moment later.
        while partitions(&harness, "audit").await[0] == "01" {
            let (one, two) = tokio::join!(
                harness.engine.retain(&KEEP, at("2020-06-15")),
                other.retain(&KEEP, at("2020-06-15"))
            );
            assert!(!one.unwrap() && !two.unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    for table in ["target", "record", "audit"] {
        assert_eq!(partitions(&harness, table).await, ["03", "04", "05", "06", "07", "08", "09"], "{table}");
    }
    assert_eq!(harness.count("SELECT count(*) FROM task").await, 0);
}

/// A harness whose statements must finish at once, regardless of other waiting transactions.
fn impatient(harness: &Harness) -> Harness {
    let options =
        PoolOptions { statement_timeout: Duration::from_secs(2), ..PoolOptions::new(&harness.database.url) };
    let database =
        testkit::TestDatabase { store: Store::connect(&options).unwrap(), ..harness.database.clone() };
    Harness { engine: Scheduler::new(database.store.clone(), Config::default()), database }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_tick_that_waits_for_an_older_transaction() {
    for table in ["target", "record", "audit"] {
        let harness = harness().await;
        ended(&harness, "2020-01-10", "2020-01-10").await;
        let mut reader = harness.database.connection().await.unwrap();
        execute(&mut reader, "BEGIN").await.unwrap();
        execute(&mut reader, &format!("SELECT FROM {table}")).await.unwrap();
        let engine = harness.engine.clone();
        let tick = tokio::spawn(async move { engine.retain(&KEEP, at("2020-06-15")).await });
        let waits = async {
            let pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending";
            while harness.count(pending).await == 0 {}
        };
        tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap();

        // Every operation of a rollout and of its callers.
        let others = impatient(&harness);
        let task_id = ended(&others, "2020-06-10", "2020-06-10").await;
        assert_eq!(rows(&others, task_id).await["record"], 2, "{table}");
        audit_entry(&mut others.database.connection().await.unwrap(), "2020-06-10").await;
        let mut connection = others.store().acquire().await.unwrap();
        let listed =
            store::audit::list(&mut connection, Some(&project()), &store::audit::AuditFilter::default(), 10)
                .await;
        assert_eq!(listed.unwrap().len(), 1, "{table}");
        assert!(!tick.is_finished(), "the tick ended while {table} was locked");

        execute(&mut reader, "COMMIT").await.unwrap();
        assert!(!tick.await.unwrap().unwrap());
        assert_eq!(partitions(&harness, table).await[0], "03", "{table}");
        assert_eq!(harness.count("SELECT count(*) FROM record").await, 2, "{table}");
    }
}
