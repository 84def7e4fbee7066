//! Commands on the database.

use super::{
    credentials::{Keys, Tokens, keys, tokens},
    enrolment_tokens::{EnrolmentTokens, enrolment_tokens},
    policies::{Policies, policies},
    principals::{Principals, principals},
    projects::{Projects, projects},
};
use crate::{config::Settings, roles};

/// Command on the database.
#[derive(Debug)]
pub(crate) enum DatabaseCommand {
    Projects(Projects),
    Principals(Principals),
    Policies(Policies),
    Keys(Keys),
    Tokens(Tokens),
    EnrolmentTokens(EnrolmentTokens),
}

/// Runs the command and returns its output.
pub(crate) async fn run(command: DatabaseCommand, settings: &Settings) -> anyhow::Result<String> {
    let control = roles::control(settings, settings.store()?)?;
    match command {
        DatabaseCommand::Projects(command) => projects(&control, command).await,
        DatabaseCommand::Principals(command) => principals(&control, command).await,
        DatabaseCommand::Policies(command) => policies(&control, command).await,
        DatabaseCommand::Keys(command) => keys(&control, command).await,
        DatabaseCommand::Tokens(command) => tokens(&control, command).await,
        DatabaseCommand::EnrolmentTokens(command) => enrolment_tokens(&control, command).await,
    }
}
