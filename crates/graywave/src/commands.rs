//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{config::Settings, dev, output::print, roles, signals};

/// Runs a script or a command on a fleet of cloud desktops in gray waves: a small gray (canary) wave first, the
/// next wave only while failures stay under gray_fail_threshold.
#[derive(Debug, Parser)]
#[command(name = "graywave", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Settings in TOML; any key can be overridden by GRAYWAVE__SECTION__KEY
    #[arg(long, global = true, env = "GRAYWAVE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  graywave dev --desktops 20                  all of it on this machine, with a private Postgres
  DATABASE_URL=postgres://... graywave migrate
  DATABASE_URL=postgres://... graywave scheduler
  graywave --config graywave.toml check-config";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all roles and local desktops in one process, on a private Postgres
    Dev(dev::DevArguments),
    /// Serve the REST API
    Api,
    /// Open waves, hand batches to workers, store results; serve gRPC to workers and operators
    Scheduler,
    /// Hold agents' connections and dispatch to them
    Worker,
    /// Bring the database's schema up to date, then exit
    Migrate,
    /// Check the settings, print what is wrong with them or that they are good, then exit
    CheckConfig,
    /// Show a task with its waves and what the gate said of each
    Show(cli::ShowArguments),
    /// List the workers that are known
    Workers(cli::WorkersArguments),
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Show(arguments) => return print(&cli::show(arguments).await?),
        Command::Workers(arguments) => return print(&cli::workers(arguments).await?),
        _ => {}
    }
    let settings = Settings::load(arguments.config.as_deref())?;
    if matches!(arguments.command, Command::CheckConfig) {
        return print("the configuration is good\n");
    }
    let telemetry = telemetry::init(&settings.telemetry, "graywave")?;
    let stop = signals::stop()?;
    let outcome = match arguments.command {
        Command::Dev(arguments) => dev::run(arguments, &settings, stop).await,
        Command::Api => roles::api(&settings, stop).await,
        Command::Scheduler => roles::scheduler(&settings, stop).await,
        Command::Worker => roles::worker(&settings, stop).await,
        Command::Migrate => roles::migrate(&settings).await,
        Command::CheckConfig | Command::Show(_) | Command::Workers(_) => Ok(()),
    };
    telemetry.shutdown().await;
    outcome
}
