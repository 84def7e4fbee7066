//! `graywave policies`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use control::{Control, NO_LIMIT};
use domain::authz::READY_POLICIES;

use super::project::Project;
use crate::table::table;

/// Make, list and delete policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Policies {
    /// Store a policy under a name, replacing one of that name
    #[command(after_help = r#"A policy is JSON, like
  {"Version": "5.0", "Statement": [
    {"Effect": "Allow", "Action": ["workspace:scripts:*"], "Resource": ["*"]},
    {"Effect": "Deny", "Action": ["workspace:scripts:execute"], "Resource": ["desktop:boss-*"]}]}
What nothing allows is refused; a Deny wins. docs/access.md lists actions and resources."#)]
    Put {
        /// Name of the policy
        name: String,
        #[command(flatten)]
        project: Project,
        /// File with the document
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List the policies there are
    List {
        #[command(flatten)]
        project: Project,
    },
    /// Delete a policy that no principal has
    Delete {
        /// Name of the policy
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
            Ok(format!("policy {name} is stored\n"))
        }
        Policies::List { project } => {
            let found = control.list_policies(project.actor(), None, NO_LIMIT).await?;
            let rows = found.into_iter().map(|(name, policy)| {
                let document = if READY_POLICIES.contains(&name.as_str()) {
                    "ready".to_owned()
                } else {
                    serde_json::to_string(&policy).unwrap_or_default()
                };
                vec![name, document]
            });
            Ok(table(&["policy", "document"], rows))
        }
        Policies::Delete { name, project } => {
            control.delete_policy(project.actor(), &name).await?;
            Ok(format!("policy {name} is deleted\n"))
        }
    }
}
