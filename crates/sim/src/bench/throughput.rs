//! Executions per second through the whole system, each round interleaved with its yardsticks.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use crate::{cpu::CpuUs, raw, system::System, transport::Transport};

/// Desktops of the round that warms caches and connections on both sides.
const WARM_UP: u32 = 1_000;

/// Time after which a worker has acknowledged all results.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(1_500);

/// Rounds over all desktops.
#[derive(Debug, Serialize)]
pub(crate) struct Throughput {
    pub(crate) desktops: u32,
    pub(crate) rounds: Vec<Round>,
    /// The middle one of the rounds' ratios to the stack's bound.
    pub(crate) ratio_to_bound: f64,
    /// The middle one of the rounds' ratios to the raw writes.
    pub(crate) ratio_to_raw: f64,
}

/// One round over all desktops, and its yardsticks.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) executions_per_second: f64,
    /// The two row writes of an execution alone.
    pub(crate) raw_executions_per_second: f64,
    /// The exchange of an order and a result alone.
    pub(crate) exchanges_per_second: f64,
    /// Executions per second if only these two took time, one after the other.
    pub(crate) bound_per_second: f64,
    pub(crate) first_start_ms: f64,
    pub(crate) commits_per_execution: f64,
    pub(crate) wal_bytes_per_execution: f64,
    pub(crate) cpu_us_per_execution: CpuUs,
}

pub(crate) async fn measure(system: &mut System, desktops: u32, rounds: u32) -> anyhow::Result<Throughput> {
    let mut connection = PgConnection::connect(&system.database_url()).await?;
    raw::prepare(&mut connection).await?;
    let mut transport = Transport::start(desktops).await?;
    system.execute(desktops.min(WARM_UP), "true").await?;
    raw::write(&mut connection, desktops.min(WARM_UP)).await?;
    transport.measure()?;
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push(measure_round(system, &mut connection, &mut transport, desktops).await?);
    }
    let ratio_to_bound =
        middle(measured.iter().map(|round| round.executions_per_second / round.bound_per_second))?;
    let ratio_to_raw =
        middle(measured.iter().map(|round| round.executions_per_second / round.raw_executions_per_second))?;
    Ok(Throughput { desktops, rounds: measured, ratio_to_bound, ratio_to_raw })
}

fn middle(ratios: impl Iterator<Item = f64>) -> anyhow::Result<f64> {
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().context("no round was asked for")
}

async fn measure_round(
    system: &mut System,
    connection: &mut PgConnection,
    transport: &mut Transport,
    desktops: u32,
) -> anyhow::Result<Round> {
    let number = f64::from(desktops);
    let exchanges_per_second = transport.measure()?;
    let (commits, wal) = read_counters(connection).await?;
    let cpu = system.processes().snapshot()?;
    let execution = system.execute(desktops, "true").await?;
    // Acknowledgements follow within a second; they belong to the round, and not to the yardsticks.
    tokio::time::sleep(ACKNOWLEDGED_WITHIN).await;
    let cpu_us_per_execution = cpu.per_execution(&system.processes().snapshot()?, desktops);
    let (commits_after, wal_after) = read_counters(connection).await?;
    let raw_executions_per_second = number / raw::write(connection, desktops).await?;
    Ok(Round {
        executions_per_second: number / execution.seconds(),
        raw_executions_per_second,
        exchanges_per_second,
        bound_per_second: 1.0 / (exchanges_per_second.recip() + raw_executions_per_second.recip()),
        first_start_ms: execution.first_start_ms(),
        commits_per_execution: (commits_after - commits) / number,
        wal_bytes_per_execution: (wal_after - wal) / number,
        cpu_us_per_execution,
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
