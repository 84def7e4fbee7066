//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use cli::{ExitStatus, print};

use crate::{
    argv, ca, completion,
    config::Settings,
    db_commands::{self, DatabaseCommand},
    dev, help, man,
    roles::{self, healthcheck},
    signals,
};

/// Run scripts on a fleet of cloud desktops in gray waves: a small gray (canary) wave first, and
/// the next wave only while failures stay below the threshold.
#[derive(Debug, Parser)]
#[command(name = "graywave", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Settings file (TOML); GRAYWAVE__SECTION__KEY overrides a key
    #[arg(long, env = "GRAYWAVE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  graywave dev --desktops 20                  a cluster on this machine
  graywave login https://graywave.example.com
  graywave run --canary 5 --tag pool=finance -- reboot
  graywave watch latest
  source <(graywave completion bash)          completion of commands and ids

Run `graywave help COMMAND` for details.";

/// Each under the heading that [`help`] gives it.
#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Operator(Box<cli::Command>),
    /// Run a development cluster on this machine
    Dev(dev::DevArgs),
    /// Serve the REST API
    Api,
    /// Serve workers and operators over gRPC, and open waves
    Scheduler,
    /// Serve agents, and dispatch scripts to them
    Worker,
    /// Migrate the database schema to this version
    Migrate(roles::MigrateArgs),
    /// Validate settings, addresses and certificates
    CheckConfig,
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Manage projects, access and enrolment in the database, for the first credentials
    #[command(subcommand)]
    Admin(DatabaseCommand),
    /// Create and rotate the CA, and issue certificates
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Print the shell completion script
    Completion(completion::CompletionArgs),
    /// Write manual pages
    Man(man::ManArgs),
    /// Print the version of this program
    Version,
    /// Print the reference of error reasons and their fixes
    Errors,
    /// Print the OpenAPI document of the REST API
    Openapi,
    /// Print docs/cli.md
    #[command(hide = true)]
    Reference,
}

/// Commands of a cluster that read no settings file.
const WITHOUT_SETTINGS: [&str; 3] = ["ca", "openapi", "help"];

/// Returns the whole command line for parsing, completion and documentation. Commands that read the
/// settings file accept `--config` behind their name too.
pub(crate) fn command() -> clap::Command {
    let config = clap::Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help("Settings file (TOML); GRAYWAVE__SECTION__KEY overrides a key");
    let with_settings = help::CLUSTER.iter().filter(|name| !WITHOUT_SETTINGS.contains(name));
    let command = with_settings.fold(Arguments::command(), |command, name| {
        command.mut_subcommand(name, |command| command.arg(config.clone()))
    });
    help::grouped(command)
}

/// Id and name of the flag for the settings file.
const CONFIG: &str = "config";

/// Parses the command line. Exits the process on errors and for `--help`.
pub(crate) fn parse() -> Arguments {
    let words = argv::reorder(std::env::args_os().collect());
    parse_from(&words).unwrap_or_else(|error| argv::exit(error, &words, &command()))
}

fn parse_from(words: &[OsString]) -> Result<Arguments, clap::Error> {
    let matches = command().try_get_matches_from(words)?;
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    let behind = matches.subcommand().and_then(|(_, matches)| {
        let config = matches.try_get_one::<PathBuf>(CONFIG).ok().flatten();
        config.cloned()
    });
    arguments.config = behind.or(arguments.config);
    Ok(arguments)
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitStatus> {
    if let Command::Operator(command) = arguments.command {
        if let Some(verification) = command.audit_verification() {
            let settings = Settings::load(arguments.config.as_deref())?;
            let (text, ended) = db_commands::verify_audit(verification, &settings).await?;
            return Ok(print(&text).map(|()| ended)?);
        }
        return Ok(command.run().await?);
    }
    maintain(arguments).await.map(|()| ExitStatus::Success)
}

/// Runs a role, or a command on the database or on local files.
async fn maintain(arguments: Arguments) -> anyhow::Result<()> {
    let file = arguments.config;
    let settings = || Settings::load(file.as_deref());
    match arguments.command {
        // Handled by the caller.
        Command::Operator(_) => Ok(()),
        Command::Completion(arguments) => Ok(print(&completion::registration(&arguments)?)?),
        Command::Man(arguments) => man::write(&arguments, command()),
        Command::Reference => Ok(print(&help::reference(command()))?),
        Command::Version => Ok(print(&format!("graywave {}\n", env!("CARGO_PKG_VERSION")))?),
        Command::Errors => Ok(print(&domain::error::reference())?),
        Command::Openapi => Ok(print(&format!("{}\n", api::document().to_pretty_json()?))?),
        Command::CheckConfig => Ok(print(&roles::check(&settings()?).await?)?),
        Command::Healthcheck(arguments) => {
            healthcheck::run(arguments, settings()?.telemetry.health_address()).await
        }
        Command::Ca(command) => Ok(print(&ca::run(command)?)?),
        Command::Admin(command) => Ok(print(&db_commands::run(command, &settings()?).await?)?),
        Command::Dev(arguments) => serve(Role::Dev(arguments), &settings()?).await,
        Command::Api => serve(Role::Api, &settings()?).await,
        Command::Scheduler => serve(Role::Scheduler, &settings()?).await,
        Command::Worker => serve(Role::Worker, &settings()?).await,
        Command::Migrate(arguments) => serve(Role::Migrate(arguments), &settings()?).await,
    }
}

/// Long-running command with telemetry, until `stop`.
enum Role {
    Dev(dev::DevArgs),
    Api,
    Scheduler,
    Worker,
    Migrate(roles::MigrateArgs),
}

impl Role {
    /// Returns the service name of its spans.
    const fn service(&self) -> &'static str {
        match self {
            Self::Dev(_) => "graywave-dev",
            Self::Api => "graywave-api",
            Self::Scheduler => "graywave-scheduler",
            Self::Worker => "graywave-worker",
            Self::Migrate(_) => "graywave-migrate",
        }
    }
}

async fn serve(role: Role, settings: &Settings) -> anyhow::Result<()> {
    let mut telemetry = settings.telemetry.clone();
    if matches!(role, Role::Dev(_)) {
        // One line in the report instead of one for each local desktop.
        telemetry.log.push_str(&format!(",{}=warn", agent::ATTACHED_LOG));
    }
    let telemetry = telemetry::init(&telemetry, role.service())?;
    let stop = signals::stop()?;
    let outcome = match role {
        Role::Dev(arguments) => Box::pin(dev::run(arguments, settings, stop)).await,
        Role::Api => Box::pin(roles::api(settings, stop)).await,
        Role::Scheduler => Box::pin(roles::scheduler(settings, stop)).await,
        Role::Worker => Box::pin(roles::worker(settings, stop)).await,
        Role::Migrate(arguments) => roles::migrate(settings, &arguments).await,
    };
    telemetry.shutdown().await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(line: &str) -> Result<Option<PathBuf>, clap::error::ErrorKind> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse_from(&words).map(|arguments| arguments.config).map_err(|error| error.kind())
    }

    #[test]
    fn config_flag_is_accepted_before_and_behind_a_command() {
        for line in [
            "graywave --config f check-config",
            "graywave check-config --config f",
            "graywave scheduler --config=f",
            "graywave admin --config f tokens ls --project p",
            "graywave admin tokens ls --project p --config f",
            "graywave --config other migrate --config f",
        ] {
            assert_eq!(config(line), Ok(Some(PathBuf::from("f"))), "{line}");
        }
    }

    #[test]
    fn config_flag_is_refused_by_commands_without_settings() {
        for line in ["graywave ls --config f", "graywave ca show --dir d --config f"] {
            assert_eq!(config(line), Err(clap::error::ErrorKind::UnknownArgument), "{line}");
        }
    }
}
