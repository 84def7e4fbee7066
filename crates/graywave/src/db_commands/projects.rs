//! `graywave admin projects`.

use clap::{Subcommand, ValueEnum};
use control::{Control, StopMode};
use domain::{ErrorKind, ids::ProjectId};

use super::project::{ListFormat, state, time};

/// The effect of a stop on running scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Running scripts finish
    Drain,
    /// Running scripts are killed
    Kill,
}

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
    Ls(ListFormat),
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
        /// Effect on running scripts
        #[arg(long, value_enum, value_name = "MODE", default_value = "kill")]
        mode: Mode,
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
        Projects::Ls(format) => {
            let rows = control.list_projects().await?.into_iter().map(|row| {
                let state = state(None, row.revoked_at);
                vec![row.project_id.into_string(), row.name, time(Some(row.created_at)), state]
            });
            Ok(format.render(&["project", "name", "created", "state"], rows))
        }
        Projects::Revoke { project_id } => {
            control.revoke_project(&project_id).await?;
            Ok(format!("revoked and froze project {project_id}\n"))
        }
        Projects::Unrevoke { project_id } => {
            control.unrevoke_project(&project_id).await?;
            Ok(format!("unrevoked project {project_id}; it stays frozen until `graywave unfreeze`\n"))
        }
        Projects::Stop { project_id, mode } => {
            let mode = match mode {
                Mode::Drain => StopMode::Drain,
                Mode::Kill => StopMode::Kill,
            };
            let stopped = control.stop_project(&project_id, mode).await?;
            Ok(format!("stopped {stopped} tasks of project {project_id}\n"))
        }
    }
}
