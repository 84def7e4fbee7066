//! The commands on the database.

use super::{
    credentials::{Keys, Tokens, keys, tokens},
    enrolment_tokens::{EnrolmentTokens, enrolment_tokens},
    policies::{Policies, policies},
    principals::{Principals, principals},
    projects::{Projects, projects},
};
use crate::{config::Settings, roles};

/// Who may call.
#[derive(Debug)]
pub(crate) enum Access {
    Projects(Projects),
    Principals(Principals),
    Policies(Policies),
    Keys(Keys),
    Tokens(Tokens),
    EnrolmentTokens(EnrolmentTokens),
}

/// Does it and returns what is to be printed.
pub(crate) async fn run(access: Access, settings: &Settings) -> anyhow::Result<String> {
    let control = roles::control(settings, settings.store()?)?;
    match access {
        Access::Projects(command) => projects(&control, command).await,
        Access::Principals(command) => principals(&control, command).await,
        Access::Policies(command) => policies(&control, command).await,
        Access::Keys(command) => keys(&control, command).await,
        Access::Tokens(command) => tokens(&control, command).await,
        Access::EnrolmentTokens(command) => enrolment_tokens(&control, command).await,
    }
}
