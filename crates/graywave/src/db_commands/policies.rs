//! `graywave admin policies`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use control::{Control, NO_LIMIT};
use domain::authz::READY_POLICIES;

use super::project::{ListArgs, Project};

/// Create, list and delete policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Policies {
    /// Create or replace a policy
    #[command(after_help = r#"A policy is JSON, like
  {"Version": "5.0", "Statement": [
    {"Effect": "Allow", "Action": ["workspace:scripts:*"], "Resource": ["*"]},
    {"Effect": "Deny", "Action": ["workspace:scripts:execute"],
     "Resource": ["desktop:boss-*"]}]}
Actions that no policy allows are denied; Deny overrides Allow. docs/access.md lists actions and resources."#)]
    Put {
        /// Policy name
        name: String,
        #[command(flatten)]
        project: Project,
        /// JSON file with the policy document
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List policies
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Delete a policy that is bound to no principal
    #[command(name = "rm", visible_alias = "delete")]
    Delete {
        /// Policy name
        name: String,
        #[command(flatten)]
        project: Project,
    },
}

pub(super) async fn policies(control: &Control, command: Policies) -> anyhow::Result<String> {
    match command {
        Policies::Put { name, project, file } => {
            let document =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            control.put_policy(project.actor(), &name, &document).await?;
            Ok(format!("stored policy {name}\n"))
        }
        Policies::Ls(ListArgs { project, format }) => {
            let found = control.list_policies(project.actor(), None, NO_LIMIT).await?;
            let rows = found.into_iter().map(|(name, policy)| {
                let document = if READY_POLICIES.contains(&name.as_str()) {
                    "built-in".to_owned()
                } else {
                    serde_json::to_string(&policy).unwrap_or_default()
                };
                vec![name, document]
            });
            Ok(format.render(&["policy", "document"], rows))
        }
        Policies::Delete { name, project } => {
            control.delete_policy(project.actor(), &name).await?;
            Ok(format!("deleted policy {name}\n"))
        }
    }
}
