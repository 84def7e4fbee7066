//! `graywave projects`.

use clap::Subcommand;
use control::{Control, StopMode};
use domain::{ErrorKind, ids::ProjectId};

use super::project::{state, time};
use crate::table::table;

/// Make, list, revoke and stop projects.
#[derive(Debug, Subcommand)]
pub(crate) enum Projects {
    /// Make a project
    Create {
        /// Id of the project, as it stands in the API's paths
        project_id: ProjectId,
        /// For people; the id when it is left out
        #[arg(long)]
        name: Option<String>,
        /// Good as well when it is there already
        #[arg(long)]
        unless_exists: bool,
    },
    /// List all projects
    List,
    /// Refuse every credential of a project from now on, and freeze it; its rows stay
    #[command(
        after_help = "Nothing more of its tasks is admitted. What runs goes on: `graywave projects stop` ends it."
    )]
    Revoke {
        /// Id of the project
        project_id: ProjectId,
    },
    /// Accept the credentials of a revoked project again; it stays frozen until it is unfrozen
    Unrevoke {
        /// Id of the project
        project_id: ProjectId,
    },
    /// Stop every task of a project that has not ended, also of a revoked one
    Stop {
        /// Id of the project
        project_id: ProjectId,
        /// Let what runs go on to its end; killed by default
        #[arg(long)]
        drain: bool,
    },
}

pub(super) async fn projects(control: &Control, command: Projects) -> anyhow::Result<String> {
    match command {
        Projects::Create { project_id, name, unless_exists } => {
            match control.create_project(&project_id, &name.unwrap_or_default()).await {
                Err(error) if unless_exists && error.kind() == ErrorKind::Conflict => {
                    Ok(format!("project {project_id} is there\n"))
                }
                made => made.map(|()| format!("project {project_id} is made\n")).map_err(Into::into),
            }
        }
        Projects::List => {
            let rows = control.list_projects().await?.into_iter().map(|row| {
                let state = state(None, row.revoked_at);
                vec![row.project_id.into_string(), row.name, time(Some(row.created_at)), state]
            });
            Ok(table(&["project", "name", "created", "state"], rows))
        }
        Projects::Revoke { project_id } => {
            control.revoke_project(&project_id).await?;
            Ok(format!("project {project_id} is revoked and frozen\n"))
        }
        Projects::Unrevoke { project_id } => {
            control.unrevoke_project(&project_id).await?;
            Ok(format!(
                "project {project_id} is accepted again; it stays frozen until somebody unfreezes it\n"
            ))
        }
        Projects::Stop { project_id, drain } => {
            let mode = if drain { StopMode::Drain } else { StopMode::Kill };
            let stopped = control.stop_project(&project_id, mode).await?;
            Ok(format!("{stopped} tasks of project {project_id} are stopped\n"))
        }
    }
}
