//! The measurements, each round interleaved with its yardstick.

use anyhow::Context as _;
use serde::Serialize;
use sim::fleet::FAILING;
use sqlx::{Connection as _, PgConnection};

use crate::{fairness::Fairness, latency::Latency, processes::Processes, raw, system::System};

/// Everything measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) desktops: u32,
    pub(crate) rounds: Vec<Round>,
    /// Of the rounds' ratios, the middle one.
    pub(crate) ratio_to_raw: f64,
    pub(crate) post_to_first_start_ms: Latency,
    pub(crate) failures: Failures,
    pub(crate) processes: Processes,
    pub(crate) fairness: Fairness,
}

/// A round in which every desktop fails, against the last one in which all succeeded, and the list
/// of its failures.
#[derive(Debug, Serialize)]
pub(crate) struct Failures {
    pub(crate) executions_per_second: f64,
    pub(crate) ratio_to_successes: f64,
    pub(crate) groups: usize,
    /// The groups as a client gets them, with their members and samples.
    pub(crate) list_ms: f64,
    /// The same records counted in the database, by one statement.
    pub(crate) raw_count_ms: f64,
}

/// One round over all desktops, and its yardstick.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) executions_per_second: f64,
    pub(crate) raw_executions_per_second: f64,
    pub(crate) ratio_to_raw: f64,
    pub(crate) first_start_ms: f64,
    pub(crate) commits_per_execution: f64,
    pub(crate) wal_bytes_per_execution: f64,
}

pub(crate) async fn measure_all(
    system: &mut System,
    desktops: u32,
    rounds: u32,
    tries: u32,
    processes: Processes,
    fairness: Fairness,
) -> anyhow::Result<Report> {
    let mut connection = PgConnection::connect(&system.database_url()).await?;
    raw::prepare(&mut connection).await?;
    // Warms caches and connections on both sides.
    system.execute(desktops.min(1_000), "true").await?;
    raw::write(&mut connection, desktops.min(1_000)).await?;
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push(measure_round(system, &mut connection, desktops).await?);
    }
    let mut ratios: Vec<f64> = measured.iter().map(|round| round.ratio_to_raw).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio_to_raw = *ratios.get(ratios.len() / 2).context("no round was asked for")?;
    let last = measured.last().context("no round was asked for")?.executions_per_second;
    let failures = measure_failures(system, &mut connection, desktops, last).await?;
    let post_to_first_start_ms = measure_latency(system, tries).await?;
    Ok(Report {
        desktops,
        rounds: measured,
        ratio_to_raw,
        post_to_first_start_ms,
        failures,
        processes,
        fairness,
    })
}

async fn measure_round(
    system: &mut System,
    connection: &mut PgConnection,
    desktops: u32,
) -> anyhow::Result<Round> {
    let number = f64::from(desktops);
    let (commits, wal) = read_counters(connection).await?;
    let execution = system.execute(desktops, "true").await?;
    let (commits_after, wal_after) = read_counters(connection).await?;
    let executions_per_second = number / execution.seconds();
    let raw_executions_per_second = number / raw::write(connection, desktops).await?;
    Ok(Round {
        executions_per_second,
        raw_executions_per_second,
        ratio_to_raw: executions_per_second / raw_executions_per_second,
        first_start_ms: execution.first_start_ms(),
        commits_per_execution: (commits_after - commits) / number,
        wal_bytes_per_execution: (wal_after - wal) / number,
    })
}

async fn measure_failures(
    system: &mut System,
    connection: &mut PgConnection,
    desktops: u32,
    successes_per_second: f64,
) -> anyhow::Result<Failures> {
    let execution = system.execute(desktops, FAILING).await?;
    let executions_per_second = f64::from(desktops) / execution.seconds();
    // The first looks warm the cache on both sides.
    system.list_failures(&execution.task_id)?;
    raw::count_records(connection, &execution.task_id).await?;
    let (list_ms, groups) = system.list_failures(&execution.task_id)?;
    Ok(Failures {
        executions_per_second,
        ratio_to_successes: executions_per_second / successes_per_second,
        groups,
        list_ms,
        raw_count_ms: raw::count_records(connection, &execution.task_id).await?,
    })
}

/// Commits and WAL bytes since the cluster began, as Postgres counts them.
async fn read_counters(connection: &mut PgConnection) -> anyhow::Result<(f64, f64)> {
    sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut *connection).await?;
    Ok(sqlx::query_as(
        "SELECT sum(xact_commit)::float8, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8
         FROM pg_stat_database",
    )
    .fetch_one(connection)
    .await?)
}

async fn measure_latency(system: &mut System, tries: u32) -> anyhow::Result<Latency> {
    let mut ms = Vec::new();
    for _ in 0..tries.max(1) {
        ms.push(system.execute(1, "true").await?.first_start_ms());
    }
    Ok(Latency::new(ms))
}
