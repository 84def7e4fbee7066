//! The yardstick: the same two row writes, in the batch sizes that the system uses, by one client
//! and nothing else.

use std::{fmt::Write as _, time::Instant};

use domain::limits;
use sim::fleet::desktop_id;
use sqlx::PgConnection;
use uuid::Uuid;

/// Bytes of one message of a COPY.
const MESSAGE_BYTES: usize = 256 << 10;

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
    copy_targets(connection, task_id, desktops).await?;

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

/// Writes a target for each desktop with one COPY.
pub(crate) async fn copy_targets(
    connection: &mut PgConnection,
    task_id: Uuid,
    desktops: u32,
) -> anyhow::Result<()> {
    let mut copy =
        connection.copy_in_raw("COPY raw_target (task_id, ordinal, desktop_id, wave) FROM STDIN").await?;
    let mut message = String::new();
    for ordinal in 0..desktops {
        writeln!(message, "{task_id}\t{ordinal}\t{}\t1", desktop_id(ordinal))?;
        if message.len() >= MESSAGE_BYTES {
            copy.send(message.as_bytes()).await?;
            message.clear();
        }
    }
    copy.send(message.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// Stores offline desktops.
pub(crate) async fn insert_desktops(
    connection: &mut PgConnection,
    project_id: &str,
    desktops: u32,
) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO desktop (project_id, desktop_id, canonical_id, computer_name, os_host_name, os_type, ip_address,
                              pool_id, availability_zone, agent_version, tags, presence_at, created_at)
         SELECT $1, id, id, id, id, 'Linux', '', 'pool-' || n % 100, 'zone-' || n % 3, 'simulated', '{}', now(), now()
         FROM generate_series(0, $2 - 1) AS n, format('sim-%s', lpad(n::text, 7, '0')) AS id",
    )
    .bind(project_id)
    .bind(i32::try_from(desktops)?)
    .execute(&mut *connection)
    .await?;
    sqlx::query("ANALYZE desktop").execute(connection).await?;
    Ok(())
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
