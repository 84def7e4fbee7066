//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use cli::Ended;

use crate::{
    ca, completion,
    config::Settings,
    db_commands::{self, Access},
    dev, help, man,
    output::print,
    roles::{self, certificates, healthcheck},
    signals, words,
};

/// Runs a script or a command on a fleet of cloud desktops in gray waves: a small gray (canary) wave first, the
/// next wave only while failures stay under gray_fail_threshold.
#[derive(Debug, Parser)]
#[command(name = "graywave", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Settings in TOML; any key can be overridden by GRAYWAVE__SECTION__KEY
    #[arg(long, env = "GRAYWAVE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  graywave dev --desktops 20                  all of it on this machine, with a private Postgres
  graywave login --grpc graywave.example.com:9090
  graywave run --canary 5 --fail-threshold 2 --tag pool=finance -- systemctl restart agent
  graywave watch latest
  source <(graywave completion bash)          Tab offers commands, flags, and the ids of tasks and desktops

`graywave help COMMAND` says more of each.";

/// Each under the heading that [`help`] gives it.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Verb(Box<cli::Verb>),
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
    /// Make, list and revoke projects: the tenants that everything belongs to
    #[command(subcommand)]
    Projects(db_commands::Projects),
    /// Make and list principals: who calls, and which policies bind them
    #[command(subcommand)]
    Principals(db_commands::Principals),
    /// Make, list and delete policies: who may do what to which scripts and desktops
    #[command(subcommand)]
    Policies(db_commands::Policies),
    /// Make, list and revoke access keys, with which the SDKs sign
    #[command(subcommand)]
    Keys(db_commands::Keys),
    /// Make, list and revoke bearer tokens
    #[command(subcommand)]
    Tokens(db_commands::Tokens),
    /// Make, list and revoke enrolment tokens, with which machines become desktops
    #[command(subcommand)]
    EnrolmentTokens(db_commands::EnrolmentTokens),
    /// Make and rotate the CA, and issue the certificates that parts and desktops know each other by
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Print what a shell needs to complete commands, flags and ids
    Completion(completion::CompletionArguments),
    /// Write the manual pages
    Man(man::ManArguments),
    /// Print what each reason of a failure means, and its fix
    Errors,
    /// Print the OpenAPI document of the REST API
    Openapi,
    /// Print docs/cli.md
    #[command(hide = true)]
    Reference,
}

/// The whole command line, as it is parsed, completed and documented.
pub(crate) fn command() -> clap::Command {
    help::grouped(Arguments::command())
}

/// What was asked for; ends the process where that makes no sense, and for `--help`.
pub(crate) fn parse() -> Arguments {
    let words = words::in_order(std::env::args_os().collect());
    let matches = command().try_get_matches_from(&words).unwrap_or_else(|error| words::exit(&error, &words));
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Ended> {
    if let Command::Verb(verb) = arguments.command {
        return Ok(verb.run().await?);
    }
    maintain(arguments).await.map(|()| Ended::Success)
}

/// What runs the cluster, or works on its database.
async fn maintain(arguments: Arguments) -> anyhow::Result<()> {
    let file = arguments.config;
    let settings = || Settings::load(file.as_deref());
    match arguments.command {
        // Done before.
        Command::Verb(_) => Ok(()),
        Command::Completion(arguments) => print(&completion::registration(&arguments)?),
        Command::Man(arguments) => man::write(&arguments, command()),
        Command::Reference => print(&help::reference(command())),
        Command::Errors => print(&domain::error::reference()),
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
        Command::EnrolmentTokens(command) => manage(Access::EnrolmentTokens(command), &settings()?).await,
        Command::Dev(arguments) => serve(Role::Dev(arguments), &settings()?).await,
        Command::Api => serve(Role::Api, &settings()?).await,
        Command::Scheduler => serve(Role::Scheduler, &settings()?).await,
        Command::Worker => serve(Role::Worker, &settings()?).await,
        Command::Migrate => serve(Role::Migrate, &settings()?).await,
    }
}

async fn manage(access: Access, settings: &Settings) -> anyhow::Result<()> {
    print(&db_commands::run(access, settings).await?)
}

/// What runs with telemetry, until it is told to stop.
enum Role {
    Dev(dev::DevArguments),
    Api,
    Scheduler,
    Worker,
    Migrate,
}

impl Role {
    /// What its spans are told under.
    const fn service(&self) -> &'static str {
        match self {
            Self::Dev(_) => "graywave-dev",
            Self::Api => "graywave-api",
            Self::Scheduler => "graywave-scheduler",
            Self::Worker => "graywave-worker",
            Self::Migrate => "graywave-migrate",
        }
    }
}

async fn serve(role: Role, settings: &Settings) -> anyhow::Result<()> {
    let telemetry = telemetry::init(&settings.telemetry, role.service())?;
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
