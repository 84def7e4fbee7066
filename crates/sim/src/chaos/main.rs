//! Faults on real processes, as a program.

use std::process::ExitCode;

use clap::Parser;

/// Inject faults into a cluster of processes under load, and check that nothing is lost and nothing
/// runs twice.
///
/// Equal seeds inject equal faults in the same order; the state that they meet differs from run to
/// run. Example: graywave-chaos --minutes 10 --seed 7
#[derive(Debug, Parser)]
#[command(name = "graywave-chaos")]
struct Arguments {
    /// Time in which faults are injected, in minutes
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Seed of the faults and of the submissions
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of desktops, each with an agent process
    #[arg(long, default_value_t = 60)]
    agents: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { minutes, seed, agents } = Arguments::parse();
    sim::exit(sim::chaos::run(minutes, seed, agents).await)
}
