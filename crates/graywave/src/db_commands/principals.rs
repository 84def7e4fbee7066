//! `graywave principals`.

use clap::Subcommand;
use control::{Control, NO_LIMIT};

use super::project::{Project, time};
use crate::table::table;

/// Make and list principals.
#[derive(Debug, Subcommand)]
pub(crate) enum Principals {
    /// Make a principal, or give one that is there other policies
    #[command(
        after_help = "Ready policies: reader (all but the audit and who may call), operator (also save scripts, run, \
                            retry, stop, pause, approve and freeze), admin (everything). `graywave policies put` makes \
                            others."
    )]
    Put {
        /// Name of the person or service
        principal: String,
        #[command(flatten)]
        project: Project,
        /// Policies that bind it; repeat for several
        #[arg(long = "policy", value_name = "NAME", required = true)]
        policies: Vec<String>,
    },
    /// List a project's principals
    List {
        #[command(flatten)]
        project: Project,
    },
}

pub(super) async fn principals(control: &Control, command: Principals) -> anyhow::Result<String> {
    match command {
        Principals::Put { principal, project, policies } => {
            control.put_principal(project.actor(), &principal, &policies).await?;
            Ok(format!("principal {principal} has the policies {}\n", policies.join(", ")))
        }
        Principals::List { project } => {
            let rows = control.list_principals(project.actor(), None, NO_LIMIT).await?.into_iter();
            let rows =
                rows.map(|row| vec![row.principal, row.policies.join(", "), time(Some(row.created_at))]);
            Ok(table(&["principal", "policies", "created"], rows))
        }
    }
}
