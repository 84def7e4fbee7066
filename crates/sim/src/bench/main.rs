//! The benchmark: the whole system with simulated agents, against the raw database in the same run.

mod fairness;
mod latency;
mod measure;
mod processes;
mod raw;
mod report;
mod system;

use std::process::ExitCode;

use clap::Parser;

/// Measure executions per second through the whole system, and milliseconds from POST to the first
/// start, on an idle system and behind a large task.
///
/// Example: graywave-bench --desktops 5000 --rounds 1
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of desktops, each a simulated agent on the real protocol
    #[arg(long, default_value_t = 20_000)]
    desktops: u32,
    /// Number of local desktops with real agents and runners
    #[arg(long, default_value_t = 1_000)]
    processes: u32,
    /// Number of measurements of POST to first start
    #[arg(long, default_value_t = 200)]
    tries: u32,
    /// Number of rounds over all desktops, each followed by a measurement of the raw database
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Number of desktops of the large task that an urgent one is submitted behind
    #[arg(long, default_value_t = 20_000)]
    fairness_desktops: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    sim::exit(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let processes = processes::measure(arguments.processes)?;
    let fairness = fairness::measure(arguments.fairness_desktops).await?;
    let mut system = system::System::start(arguments.desktops).await?;
    let report = measure::measure_all(
        &mut system,
        arguments.desktops,
        arguments.rounds,
        arguments.tries,
        processes,
        fairness,
    )
    .await?;
    report::publish(&report)
}
