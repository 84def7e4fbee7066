//! `graywave admin console`.

use clap::{Args, Subcommand};
use control::Control;

use super::project::Project;
use crate::config::Settings;

/// Sign in and out of the web console.
#[derive(Debug, Subcommand)]
pub(crate) enum ConsoleCommand {
    /// Print a URL that signs a browser in as a principal, once within 10 minutes
    #[command(after_help = "\
Example:
  graywave admin console link --project acme --principal alice

The URL begins with console.public_url, or with http://127.0.0.1:8080 if it is not set.")]
    Link(PrincipalArgs),
    /// End all sessions of a principal; its tokens and its identity provider may sign in again
    SignOut(PrincipalArgs),
}

/// A principal of a project.
#[derive(Debug, Args)]
pub(crate) struct PrincipalArgs {
    #[command(flatten)]
    project: Project,
    /// Principal that signs in or out
    #[arg(long, value_name = "NAME")]
    principal: String,
}

pub(super) async fn console(
    control: &Control,
    settings: &Settings,
    command: ConsoleCommand,
) -> anyhow::Result<String> {
    match command {
        ConsoleCommand::Link(PrincipalArgs { project, principal }) => {
            let code = control.create_sign_in_code(&project.id, &principal).await?;
            Ok(settings.console.sign_in_url("http://127.0.0.1:8080", &code) + "\n")
        }
        ConsoleCommand::SignOut(PrincipalArgs { project, principal }) => {
            let number = control.end_sessions(&project.id, &principal).await?;
            Ok(format!("ended {number} sessions of principal {principal}\n"))
        }
    }
}
