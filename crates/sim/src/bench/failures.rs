//! A round in which every desktop fails, and the list of its failures.

use serde::Serialize;
use sim::fleet::FAILING;
use sqlx::{Connection as _, PgConnection};

use crate::{cpu::CpuUs, raw, system::System};

/// A round in which every desktop fails, beside one in which all succeed.
#[derive(Debug, Serialize)]
pub(crate) struct Failures {
    pub(crate) desktops: u32,
    pub(crate) executions_per_second: f64,
    pub(crate) ratio_to_successes: f64,
    pub(crate) cpu_us_per_execution: CpuUs,
    pub(crate) groups: usize,
    /// The groups as a client gets them, with their members and samples.
    pub(crate) list_ms: f64,
    /// The same records counted in the database, by one statement.
    pub(crate) raw_count_ms: f64,
}

pub(crate) async fn measure(system: &mut System, desktops: u32) -> anyhow::Result<Failures> {
    let mut connection = PgConnection::connect(&system.database_url()).await?;
    system.execute(desktops, "true").await?;
    let successes = system.execute(desktops, "true").await?;
    let cpu = system.processes().snapshot()?;
    let execution = system.execute(desktops, FAILING).await?;
    let cpu_us_per_execution = cpu.per_execution(&system.processes().snapshot()?, desktops);
    // The first looks warm the cache on both sides.
    system.list_failures(&execution.task_id)?;
    raw::count_records(&mut connection, &execution.task_id).await?;
    let (list_ms, groups) = system.list_failures(&execution.task_id)?;
    Ok(Failures {
        desktops,
        executions_per_second: f64::from(desktops) / execution.seconds(),
        ratio_to_successes: successes.seconds() / execution.seconds(),
        cpu_us_per_execution,
        groups,
        list_ms,
        raw_count_ms: raw::count_records(&mut connection, &execution.task_id).await?,
    })
}
