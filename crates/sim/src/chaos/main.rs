//! Faults on real processes: the program.

use clap::Parser;

/// Runs a cluster of separate processes under load, injects faults, and checks that nothing was lost and nothing ran twice.
///
/// The same seed injects the same faults in the same order; what they meet differs from run to run.
#[derive(Debug, Parser)]
#[command(name = "graywave-chaos")]
struct Arguments {
    /// How long faults are injected, in minutes
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// What decides which faults come when, and what is submitted
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Desktops, each an agent of its own
    #[arg(long, default_value_t = 60)]
    agents: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { minutes, seed, agents } = Arguments::parse();
    sim::chaos::run(minutes, seed, agents).await
}
