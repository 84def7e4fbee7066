//! `graywave admin projects`.

use clap::Subcommand;
use control::{Control, StopMode};
use domain::{ErrorKind, ids::ProjectId};

use super::project::{state, time};
use cli::plain_table;

/// Create, list, revoke and stop projects.
#[derive(Debug, Subcommand)]
pub(crate) enum Projects {
    /// Create a project
    Create {
        /// Project id, used in the paths of the API
        project_id: ProjectId,
        /// Display name [default: the id]
        #[arg(long)]
        name: Option<String>,
        /// Succeed if the project already exists
        #[arg(long)]
        unless_exists: bool,
    },
    /// List all projects
    #[command(visible_alias = "list")]
    Ls,
    /// Refuse every credential of a project and freeze it; its data is kept
    #[command(
        after_help = "Tasks start no more scripts. Running scripts continue; `graywave admin projects stop` kills them."
    )]
    Revoke {
        /// Project id
        project_id: ProjectId,
    },
    /// Accept the credentials of a revoked project again; it stays frozen
    Unrevoke {
        /// Project id
        project_id: ProjectId,
    },
    /// Stop every task of a project, even if the project is revoked
    Stop {
        /// Project id
        project_id: ProjectId,
        /// Let running scripts finish [default: kill them]
        #[arg(long)]
        drain: bool,
    },
}

pub(super) async fn projects(control: &Control, command: Projects) -> anyhow::Result<String> {
    match command {
        Projects::Create { project_id, name, unless_exists } => {
            match control.create_project(&project_id, &name.unwrap_or_default()).await {
                Err(error) if unless_exists && error.kind() == ErrorKind::Conflict => {
                    Ok(format!("project {project_id} already exists\n"))
                }
                made => made.map(|()| format!("created project {project_id}\n")).map_err(Into::into),
            }
        }
        Projects::Ls => {
            let rows = control.list_projects().await?.into_iter().map(|row| {
                let state = state(None, row.revoked_at);
                vec![row.project_id.into_string(), row.name, time(Some(row.created_at)), state]
            });
            Ok(plain_table(&["project", "name", "created", "state"], rows))
        }
        Projects::Revoke { project_id } => {
            control.revoke_project(&project_id).await?;
            Ok(format!("revoked and froze project {project_id}\n"))
        }
        Projects::Unrevoke { project_id } => {
            control.unrevoke_project(&project_id).await?;
            Ok(format!("unrevoked project {project_id}; it stays frozen until `graywave unfreeze`\n"))
        }
        Projects::Stop { project_id, drain } => {
            let mode = if drain { StopMode::Drain } else { StopMode::Kill };
            let stopped = control.stop_project(&project_id, mode).await?;
            Ok(format!("stopped {stopped} tasks of project {project_id}\n"))
        }
    }
}
