//! Faults on real processes: a whole cluster under load, killed, stopped and cut off piece by piece, and at its end the
//! promises checked against files that the scripts themselves have written.

mod check;
mod faults;
mod link;
mod load;
mod node;
mod report;
mod system;
mod truth;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::{faults::Faults, load::Load, report::Report, system::System};

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
    let arguments = Arguments::parse();
    say("starting Postgres, two APIs, two schedulers, three workers and the agents");
    let system = Arc::new(System::start(arguments.agents).await?);
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(arguments.minutes * 60.0);
    let dice = |stream: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(arguments.seed);
        rng.set_stream(stream);
        rng
    };
    let load = Load::start(Arc::clone(&system), dice(1), until);
    let faults = Faults::inject(Arc::clone(&system), dice(2), begun, until).await?;
    say("no more faults: everything is put right, and what was accepted may end");
    system.heal().await?;
    let accepted = load.finish().await?;
    let found = check::all(&system, &accepted, &faults).await?;
    let report = Report::new(arguments.seed, arguments.minutes, arguments.agents, &accepted, faults, found);
    report.publish()?;
    if report.is_good() { Ok(()) } else { anyhow::bail!("a promise was broken: {}", system.logs().display()) }
}

/// Tells the person at the terminal what happens.
#[expect(clippy::print_stderr, reason = "a command's progress")]
fn say(text: &str) {
    eprintln!("== {text}");
}
