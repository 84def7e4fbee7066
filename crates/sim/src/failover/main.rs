//! Failovers of the database, as a program.

use std::process::ExitCode;

use clap::Parser;

/// Fail Postgres over under load, and check that no acknowledged result and no accepted task is
/// lost.
///
/// Runs a cluster of separate processes on a Postgres under Patroni. Example: graywave-failover
/// --failovers 6
#[derive(Debug, Parser)]
#[command(name = "graywave-failover")]
struct Arguments {
    /// Number of failovers; each third one is a planned switchover, the others kill the primary
    #[arg(long, default_value_t = 3)]
    failovers: u32,
    /// Seed of times, downtimes of the old primary, and submissions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of desktops, each with an agent process
    #[arg(long, default_value_t = 30)]
    agents: u32,
    /// Commit without a standby, which loses acknowledged results: proves that the checks notice a
    /// loss
    #[arg(long, hide = true)]
    asynchronous: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { failovers, seed, agents, asynchronous } = Arguments::parse();
    sim::exit(sim::failover::run(failovers, seed, agents, asynchronous).await)
}
