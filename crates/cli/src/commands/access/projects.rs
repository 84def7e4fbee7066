//! `graywave projects`.

use clap::{Args, Subcommand};
use domain::Reason;
use proto::admin::{
    CreateProjectRequest, ListProjectsRequest, Project, RevokeProjectRequest, StopMode, StopProjectRequest,
    UnrevokeProjectRequest,
};
use tonic::Status;

use super::{
    super::{CommonArgs, ListArgs},
    state::state,
};
use crate::{
    Error,
    args::Ending,
    client::{Session, repeated},
    format::{fact, facts, many, time},
    output::{Cell, Column, Console, ListItem, cell, pages},
};

/// Arguments of `graywave projects`; without a subcommand, the projects are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ProjectsArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<ProjectsCommand>,
}

/// Subcommands of `graywave projects`.
#[derive(Debug, Clone, Subcommand)]
enum ProjectsCommand {
    /// List projects by id
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Create a project
    #[command(after_help = "\
Needs a certificate with the role admin. Without one: graywave admin projects create, on the database")]
    Create(CreateArgs),
    /// Refuse every credential of a project and freeze it; its data is kept
    #[command(
        after_help = "Tasks start no more scripts. Running scripts continue; `graywave projects stop` kills them."
    )]
    Revoke(ProjectArgs),
    /// Accept the credentials of a revoked project again; it stays frozen
    Unrevoke(ProjectArgs),
    /// Stop every task of a project, even if the project is revoked
    Stop(StopArgs),
}

#[derive(Debug, Clone, Args)]
struct CreateArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Display name [default: the id]
    #[arg(long, value_name = "NAME", default_value_t, hide_default_value = true)]
    name: String,
    /// Succeed if the project already exists
    #[arg(long)]
    unless_exists: bool,
}

#[derive(Debug, Clone, Args)]
struct ProjectArgs {
    /// Project id, used in the paths of the API
    #[arg(value_name = "PROJECT")]
    project_id: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct StopArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Effect on running scripts
    #[arg(long, value_enum, value_name = "MODE", default_value = "kill")]
    mode: Ending,
}

impl ProjectArgs {
    async fn open(self) -> Result<(Session, Console, String), Error> {
        let (session, console) = open(&self.common).await?;
        Ok((session, console, self.project_id))
    }
}

/// Opens a session that acts for the cluster: with the client certificate alone.
async fn open(common: &CommonArgs) -> Result<(Session, Console), Error> {
    let (session, console) = common.open().await?;
    Ok((session.of_certificate(), console))
}

pub(in super::super) async fn projects(arguments: ProjectsArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(ProjectsCommand::Ls(arguments.list)) {
        ProjectsCommand::Ls(it) => ls(it).await,
        ProjectsCommand::Create(it) => create(it).await,
        ProjectsCommand::Revoke(it) => revoke(it).await,
        ProjectsCommand::Unrevoke(it) => unrevoke(it).await,
        ProjectsCommand::Stop(it) => stop(it).await,
    }
}

/// Builds the error of a refused call. `on_database` is the command for a machine that reaches the
/// database and has no admin certificate.
fn refused(doing: &str, status: &Status, on_database: &str) -> Error {
    let failure = Error::with_flags(doing, status, &[("project_id", "PROJECT"), ("mode", "--mode")]);
    match failure.reason() {
        Some(Reason::AdminCertificateRequired) => {
            failure.try_next(format!("graywave admin projects {on_database}: on the database"))
        }
        _ => failure,
    }
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = open(&arguments.common).await?;
    pages(&mut console, &arguments.paging, "no projects", async |page_size, page_token| {
        let page = session.projects().list_projects(ListProjectsRequest { page_size, page_token }).await;
        let page = page.map_err(|status| refused("cannot list projects", &status, "ls"))?.into_inner();
        Ok((page.projects, page.next_page_token))
    })
    .await
}

async fn create(arguments: CreateArgs) -> Result<(), Error> {
    let (session, mut console, project_id) = arguments.project.open().await?;
    let request = CreateProjectRequest { project_id: project_id.clone(), name: arguments.name };
    let made = session.projects().create_project(request).await;
    let made = made.map_err(|status| {
        refused(&format!("cannot create project {project_id}"), &status, &format!("create {project_id}"))
    });
    match made {
        Err(failure) if arguments.unless_exists && failure.reason() == Some(Reason::AlreadyExists) => {
            console.say(&format!("project {project_id} already exists"));
            Ok(())
        }
        made => {
            let project = made?.into_inner().project.unwrap_or_default();
            console.show(&project, &project.project_id, |_, _| text(&project))
        }
    }
}

async fn revoke(arguments: ProjectArgs) -> Result<(), Error> {
    let (session, console, project_id) = arguments.open().await?;
    let request = RevokeProjectRequest { project_id: project_id.clone() };
    // The call is idempotent, so a retry is safe.
    let revoked = repeated(async || session.projects().revoke_project(request.clone()).await).await;
    revoked.map_err(|status| {
        refused(&format!("cannot revoke project {project_id}"), &status, &format!("revoke {project_id}"))
    })?;
    console.say(&format!("revoked and froze project {project_id}"));
    Ok(())
}

async fn unrevoke(arguments: ProjectArgs) -> Result<(), Error> {
    let (session, console, project_id) = arguments.open().await?;
    let request = UnrevokeProjectRequest { project_id: project_id.clone() };
    let restored = repeated(async || session.projects().unrevoke_project(request.clone()).await).await;
    restored.map_err(|status| {
        refused(&format!("cannot unrevoke project {project_id}"), &status, &format!("unrevoke {project_id}"))
    })?;
    console.say(&format!("unrevoked project {project_id}; it stays frozen until `graywave unfreeze`"));
    Ok(())
}

async fn stop(arguments: StopArgs) -> Result<(), Error> {
    let (session, mut console, project_id) = arguments.project.open().await?;
    let mode = match arguments.mode {
        Ending::Drain => StopMode::Drain,
        Ending::Kill => StopMode::Kill,
    };
    let request = StopProjectRequest { project_id: project_id.clone(), mode: mode.into() };
    let stopped = repeated(async || session.projects().stop_project(request.clone()).await).await;
    let stopped = stopped.map_err(|status| {
        let doing = format!("cannot stop the tasks of project {project_id}");
        refused(&doing, &status, &format!("stop {project_id}"))
    })?;
    let stopped = stopped.into_inner();
    let number = u32::try_from(stopped.stopped_tasks).unwrap_or_default();
    console.show(&stopped, &project_id, |_, _| {
        format!("stopped {} of project {project_id}\n", many(number, "task"))
    })
}

fn text(project: &Project) -> String {
    facts(&[
        fact("project", &project.project_id),
        fact("name", &project.name),
        fact("created", time(project.create_time.as_ref())),
    ])
}

impl ListItem for Project {
    const COLUMNS: &'static [Column] =
        &[Column::text("project"), Column::text("name"), Column::text("state"), Column::text("created")];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(&self.project_id),
            cell(&self.name),
            state(None, self.revoke_time.as_ref()),
            cell(time(self.create_time.as_ref())),
        ]
    }

    fn id(&self) -> &str {
        &self.project_id
    }
}
