//! `graywave admin principals`.

use clap::Subcommand;
use control::{Control, NO_LIMIT};

use super::project::{ListArgs, Project, time};

/// Create and list principals.
#[derive(Debug, Subcommand)]
pub(crate) enum Principals {
    /// Create a principal, or replace the policies of an existing one
    #[command(
        after_help = "Built-in policies: reader (read all but audit and access), operator (reader, and save scripts, run, \
                            retry, stop, pause, approve and freeze), admin (everything). `graywave admin policies put` creates \
                            others."
    )]
    Put {
        /// Name of the user or service
        principal: String,
        #[command(flatten)]
        project: Project,
        /// Policy to bind; repeat for several
        #[arg(long = "policy", value_name = "NAME", required = true)]
        policies: Vec<String>,
    },
    /// List principals
    #[command(visible_alias = "list")]
    Ls(ListArgs),
}

pub(super) async fn principals(control: &Control, command: Principals) -> anyhow::Result<String> {
    match command {
        Principals::Put { principal, project, policies } => {
            control.put_principal(project.actor(), &principal, &policies).await?;
            Ok(format!("bound principal {principal} to policies {}\n", policies.join(", ")))
        }
        Principals::Ls(ListArgs { project, format }) => {
            let rows = control.list_principals(project.actor(), None, NO_LIMIT).await?.into_iter();
            let rows =
                rows.map(|row| vec![row.principal, row.policies.join(", "), time(Some(row.created_at))]);
            Ok(format.render(&["principal", "policies", "created"], rows))
        }
    }
}
