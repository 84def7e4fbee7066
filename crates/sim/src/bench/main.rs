//! The benchmark: scenarios on the whole system with simulated agents, each against a yardstick in
//! the same run.

mod cpu;
mod failures;
mod fairness;
mod latency;
mod plan;
mod processes;
mod raw;
mod report;
mod statements;
mod system;
mod throughput;
mod transport;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::{latency::Latency, report::Report, system::System};

/// Measure the whole system in scenarios, each against a yardstick in the same run.
///
/// Example: graywave-bench throughput one-desktop --desktops 5000 --rounds 2
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Scenarios to run; all of them if none is named
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Number of desktops, each a simulated agent on the real protocol
    #[arg(long, default_value_t = 20_000)]
    desktops: u32,
    /// Number of local desktops with real agents and runners
    #[arg(long, default_value_t = 1_000)]
    processes: u32,
    /// Number of measurements of POST to first start
    #[arg(long, default_value_t = 200)]
    tries: u32,
    /// Number of rounds over all desktops, each with its yardsticks
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Number of desktops of the large task that an urgent one is submitted behind
    #[arg(long, default_value_t = 20_000)]
    fairness_desktops: u32,
    /// Number of desktops of the task whose POST is measured
    #[arg(long, default_value_t = 1_000_000)]
    plan_desktops: u32,
    /// Also report the statements that take most time in the database; slows it down a little
    #[arg(long)]
    statements: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Executions per second, against the exchange and the row writes alone; CPU by role
    Throughput,
    /// The same where every desktop fails, and the list of its failures
    Failures,
    /// Milliseconds from POST to the start on one desktop of an idle system
    OneDesktop,
    /// The same behind a large task of another project that fills the worker
    Fairness,
    /// Seconds to accept a large task, against a COPY of its targets
    Plan,
    /// Executions per second of real agents and runners, against fork and exec alone
    Processes,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Serve the exchanges of the transport's yardstick
    #[command(hide = true)]
    TransportServer { streams: u32 },
}

#[tokio::main]
async fn main() -> ExitCode {
    sim::exit(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(Part::TransportServer { streams }) = arguments.part {
        return transport::serve(streams).await;
    }
    let all = arguments.scenarios.is_empty();
    let asks_for = |scenario| all || arguments.scenarios.contains(&scenario);
    let mut report = Report::default();
    if asks_for(Scenario::Processes) {
        report.processes = Some(processes::measure(arguments.processes)?);
    }
    if asks_for(Scenario::Fairness) {
        report.fairness = Some(fairness::measure(arguments.fairness_desktops).await?);
    }
    if asks_for(Scenario::Plan) {
        report.plan = Some(plan::measure(arguments.plan_desktops).await?);
    }
    let on_one_system = [Scenario::OneDesktop, Scenario::Throughput, Scenario::Failures];
    if on_one_system.into_iter().any(asks_for) {
        let desktops = arguments.desktops;
        let preload = if arguments.statements { statements::LIBRARY } else { "" };
        let mut system = System::start(desktops, preload).await?;
        if arguments.statements {
            statements::reset(&system.database_url()).await?;
        }
        if asks_for(Scenario::OneDesktop) {
            report.post_to_first_start_ms = Some(measure_latency(&mut system, arguments.tries).await?);
        }
        if asks_for(Scenario::Throughput) {
            report.throughput = Some(throughput::measure(&mut system, desktops, arguments.rounds).await?);
        }
        if asks_for(Scenario::Failures) {
            report.failures = Some(failures::measure(&mut system, desktops).await?);
        }
        if arguments.statements {
            report.statements = Some(statements::longest(&system.database_url()).await?);
        }
    }
    report::publish(&report)
}

async fn measure_latency(system: &mut System, tries: u32) -> anyhow::Result<Latency> {
    let mut ms = Vec::new();
    for _ in 0..tries.max(1) {
        ms.push(system.execute(1, "true").await?.first_start_ms());
    }
    Ok(Latency::new(ms))
}
