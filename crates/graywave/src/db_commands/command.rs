//! Commands on the database.

use clap::Subcommand;

use super::{
    console::{ConsoleCommand, console},
    credentials::{Keys, Tokens, keys, tokens},
    enrolment_tokens::{EnrolmentTokens, enrolment_tokens},
    policies::{Policies, policies},
    principals::{Principals, principals},
    projects::{Projects, projects},
};
use crate::{config::Settings, roles};

/// Commands on the database. They need `DATABASE_URL` and no credential, so they create the first
/// ones; the operator commands of the same names do the same over gRPC.
#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Create, list, revoke and stop projects, the tenants
    #[command(subcommand)]
    Projects(Projects),
    /// Create and list principals, and bind policies to them
    #[command(subcommand)]
    Principals(Principals),
    /// Create, list and delete access policies
    #[command(subcommand)]
    Policies(Policies),
    /// Create, list and revoke bearer tokens
    #[command(subcommand)]
    Tokens(Tokens),
    /// Create, list and revoke access keys, which sign requests
    #[command(subcommand)]
    Keys(Keys),
    /// Create, list and revoke enrolment tokens of desktops
    #[command(subcommand)]
    EnrolmentTokens(EnrolmentTokens),
    /// Sign in and out of the web console
    #[command(subcommand)]
    Console(ConsoleCommand),
}

/// Runs the command and returns its output.
pub(crate) async fn run(command: DatabaseCommand, settings: &Settings) -> anyhow::Result<String> {
    let store = settings.store()?.store;
    store.check_usable().await?;
    let control = roles::control(settings, store, settings.access.master_keys()?.keys)?;
    match command {
        DatabaseCommand::Projects(command) => projects(&control, command).await,
        DatabaseCommand::Principals(command) => principals(&control, command).await,
        DatabaseCommand::Policies(command) => policies(&control, command).await,
        DatabaseCommand::Keys(command) => keys(&control, command).await,
        DatabaseCommand::Tokens(command) => tokens(&control, command).await,
        DatabaseCommand::EnrolmentTokens(command) => enrolment_tokens(&control, command).await,
        DatabaseCommand::Console(command) => console(&control, settings, command).await,
    }
}
