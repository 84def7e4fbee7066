//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    access::{self, Access},
    ca, certificates,
    config::Settings,
    dev, healthcheck,
    output::print,
    roles, signals,
};

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
  graywave projects create my-project
  graywave principals put alice --project my-project --policy operator
  graywave tokens create --project my-project --principal alice --expires-in-days 90
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
    /// Ask the role that runs on this machine whether it is ready; exit code 0 if it is, for health checks of containers
    Healthcheck,
    /// Show a task with its waves and what the gate said of each
    Show(cli::ShowArguments),
    /// List the workers that are known
    Workers(cli::WorkersArguments),
    /// Make, list and revoke projects: the tenants that everything belongs to
    #[command(subcommand)]
    Projects(access::Projects),
    /// Make and list principals: who calls, and which policies bind them
    #[command(subcommand)]
    Principals(access::Principals),
    /// Make, list and delete policies: who may do what to which scripts and desktops
    #[command(subcommand)]
    Policies(access::Policies),
    /// Make, list and revoke access keys, with which the SDKs sign
    #[command(subcommand)]
    Keys(access::Keys),
    /// Make, list and revoke bearer tokens
    #[command(subcommand)]
    Tokens(access::Tokens),
    /// Make and rotate the CA, and issue the certificates that parts and desktops know each other by
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Print the OpenAPI document of the REST API
    Openapi,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let file = arguments.config;
    let settings = || Settings::load(file.as_deref());
    match arguments.command {
        Command::Show(arguments) => print(&cli::show(arguments).await?),
        Command::Workers(arguments) => print(&cli::workers(arguments).await?),
        Command::Openapi => print(&format!("{}\n", api::document().to_pretty_json()?)),
        Command::CheckConfig => {
            let settings = settings()?;
            certificates::check(&settings.tls, &settings.orders)?;
            print("the configuration is good\n")
        }
        Command::Healthcheck => healthcheck::run(settings()?.telemetry.address()).await,
        Command::Ca(command) => print(&ca::run(command)?),
        Command::Projects(command) => manage(Access::Projects(command), &settings()?).await,
        Command::Principals(command) => manage(Access::Principals(command), &settings()?).await,
        Command::Policies(command) => manage(Access::Policies(command), &settings()?).await,
        Command::Keys(command) => manage(Access::Keys(command), &settings()?).await,
        Command::Tokens(command) => manage(Access::Tokens(command), &settings()?).await,
        Command::Dev(arguments) => serve(Role::Dev(arguments), &settings()?).await,
        Command::Api => serve(Role::Api, &settings()?).await,
        Command::Scheduler => serve(Role::Scheduler, &settings()?).await,
        Command::Worker => serve(Role::Worker, &settings()?).await,
        Command::Migrate => serve(Role::Migrate, &settings()?).await,
    }
}

async fn manage(access: Access, settings: &Settings) -> anyhow::Result<()> {
    print(&access::run(access, settings).await?)
}

/// What runs with telemetry, until it is told to stop.
enum Role {
    Dev(dev::DevArguments),
    Api,
    Scheduler,
    Worker,
    Migrate,
}

async fn serve(role: Role, settings: &Settings) -> anyhow::Result<()> {
    let telemetry = telemetry::init(&settings.telemetry, "graywave")?;
    let stop = signals::stop()?;
    let outcome = match role {
        Role::Dev(arguments) => Box::pin(dev::run(arguments, settings, stop)).await,
        Role::Api => Box::pin(roles::api(settings, stop)).await,
        Role::Scheduler => Box::pin(roles::scheduler(settings, stop)).await,
        Role::Worker => Box::pin(roles::worker(settings, stop)).await,
        Role::Migrate => roles::migrate(settings).await,
    };
    telemetry.shutdown().await;
    outcome
}
