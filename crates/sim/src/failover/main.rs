//! Failovers of the database: the program.

use clap::Parser;

/// Runs a cluster of separate processes on a Postgres that Patroni keeps available, lets it fail over under load, and
/// checks that no acknowledged result and no accepted task was lost.
#[derive(Debug, Parser)]
#[command(name = "graywave-failover")]
struct Arguments {
    /// How often the database fails over; each third time it is a planned switchover, else the primary is killed
    #[arg(long, default_value_t = 3)]
    failovers: u32,
    /// What decides when, how long the old primary stays away, and what is submitted
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Desktops, each an agent of its own
    #[arg(long, default_value_t = 30)]
    agents: u32,
    /// Commit without a standby, which loses what was acknowledged: to see that the checks notice it
    #[arg(long, hide = true)]
    asynchronous: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { failovers, seed, agents, asynchronous } = Arguments::parse();
    sim::failover::run(failovers, seed, agents, asynchronous).await
}
