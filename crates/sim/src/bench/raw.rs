//! The yardstick: the same two row writes, in the batch sizes that the system uses, by one client
//! and nothing else.

use std::time::Instant;

use domain::limits;
use sim::fleet::desktop_id;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// Targets in one statement, as in the store.
const TARGETS_PER_STATEMENT: u32 = 10_000;

/// Tables of the same shape, indexes included, beside the real ones.
pub(crate) async fn prepare(connection: &mut PgConnection) -> anyhow::Result<()> {
    for statement in [
        "DROP TABLE IF EXISTS raw_target, raw_record",
        "CREATE TABLE raw_target (LIKE target INCLUDING ALL)",
        "CREATE TABLE raw_record (LIKE record INCLUDING ALL)",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Seconds to write a target and a record for each desktop.
pub(crate) async fn write(connection: &mut PgConnection, desktops: u32) -> anyhow::Result<f64> {
    let task_id = Uuid::now_v7();
    let begun = Instant::now();
    let mut tx = connection.begin().await?;
    let mut first = 0;
    while first < desktops {
        let last = (first + TARGETS_PER_STATEMENT).min(desktops);
        let ids: Vec<String> = (first..last).map(desktop_id).collect();
        sqlx::query(
            "INSERT INTO raw_target (task_id, ordinal, desktop_id, wave)
             SELECT $1, $2 + (n - 1)::int4, desktop_id, 1 FROM unnest($3::text[]) WITH ORDINALITY AS new (desktop_id, n)",
        )
        .bind(task_id)
        .bind(i32::try_from(first)?)
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
        first = last;
    }
    tx.commit().await?;

    let group = u32::try_from(limits::MAX_RESULTS_PER_REPORT)?;
    let mut first = 0;
    while first < desktops {
        let last = (first + group).min(desktops);
        sqlx::query(
            "INSERT INTO raw_record (task_id, ordinal, script, attempt, outcome, exit_code, started_at, ended_at, output, reason)
             SELECT $1, n, 0, 1, 'SUCCESS', 0, now(), now(), '', '' FROM generate_series($2::int4, $3::int4) AS n
             ON CONFLICT DO NOTHING",
        )
        .bind(task_id)
        .bind(i32::try_from(first)?)
        .bind(i32::try_from(last)? - 1)
        .execute(&mut *connection)
        .await?;
        first = last;
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Milliseconds to count the records of a task of ours that failed, in the database itself.
pub(crate) async fn count_records(connection: &mut PgConnection, task_id: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let _: i64 =
        sqlx::query_scalar("SELECT count(*) FROM record WHERE task_id = $1::uuid AND outcome = 'FAILED'")
            .bind(task_id)
            .fetch_one(connection)
            .await?;
    Ok(begun.elapsed().as_secs_f64() * 1_000.0)
}
