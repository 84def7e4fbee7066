//! `graywave agents`.

mod bootstrap;
mod built_in;
mod selection;
mod upgrade;

use clap::{Args, Subcommand};

use crate::{Error, ExitStatus};

/// Arguments of `graywave agents`.
#[derive(Debug, Clone, Args)]
pub struct AgentsArgs {
    #[command(subcommand)]
    command: AgentsCommand,
}

/// Subcommands of `graywave agents`.
#[derive(Debug, Clone, Subcommand)]
enum AgentsCommand {
    /// Install and enrol agents on hosts over your own ssh, in parallel
    Bootstrap(Box<bootstrap::BootstrapArgs>),
    /// Upgrade agents by a rollout: in gray waves, with the gate, from your package repository
    Upgrade(Box<upgrade::UpgradeArgs>),
}

pub(super) async fn agents(arguments: AgentsArgs) -> Result<ExitStatus, Error> {
    match arguments.command {
        AgentsCommand::Bootstrap(it) => Box::pin(bootstrap::bootstrap(*it)).await,
        AgentsCommand::Upgrade(it) => Box::pin(upgrade::upgrade(*it)).await,
    }
}
