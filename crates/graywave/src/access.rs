//! `graywave projects|principals|policies|keys|tokens|enrolment-tokens`: who may call, and who becomes a desktop, managed in the database directly, by whoever may
//! reach it.

use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use clap::{Args, Subcommand};
use control::{Actor, Control, CredentialRow, EnrolmentTokenRow, NO_LIMIT, StopMode};
use domain::{
    ErrorKind, Timestamp,
    access::READY_POLICIES,
    ids::{DesktopId, ProjectId},
    limits::{DEFAULT_ENROLMENT_TOKEN_HOURS, DEFAULT_ENROLMENT_TOKEN_USES},
};
use serde_json::{Value, json};

use crate::{config::Settings, roles, table::table};

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

/// Which project.
#[derive(Debug, Args)]
pub(crate) struct Project {
    /// Id of the project
    #[arg(long = "project", value_name = "ID", env = "GRAYWAVE_PROJECT")]
    id: ProjectId,
}

impl Project {
    /// Whoever may reach the database, in this project.
    fn actor(&self) -> Actor<'_> {
        Actor::Database(&self.id)
    }
}

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

/// What a new credential is bound to.
#[derive(Debug, Args)]
pub(crate) struct NewCredential {
    #[command(flatten)]
    project: Project,
    /// Who it stands for
    #[arg(long, value_name = "NAME")]
    principal: String,
    /// Good for so many days; for good when it is left out
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    expires_in_days: Option<u16>,
}

impl NewCredential {
    fn expires_at(&self) -> Option<Timestamp> {
        self.expires_in_days.map(|days| Utc::now() + TimeDelta::days(days.into()))
    }
}

/// Make, list and revoke access keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make an access key and print it, once, as JSON
    Create(NewCredential),
    /// List a project's access keys
    List {
        #[command(flatten)]
        project: Project,
    },
    /// Revoke an access key for good
    Revoke {
        /// The access key
        access_key: String,
        #[command(flatten)]
        project: Project,
    },
}

/// Make, list and revoke bearer tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Make a token and print it, once, as JSON
    Create {
        #[command(flatten)]
        new: NewCredential,
        /// Print the token alone, for scripts
        #[arg(long)]
        only_token: bool,
    },
    /// List a project's tokens
    List {
        #[command(flatten)]
        project: Project,
    },
    /// Revoke a token for good
    Revoke {
        /// Id of the token, as it was printed and as it is listed
        token_id: String,
        #[command(flatten)]
        project: Project,
    },
}

/// Make, list and revoke enrolment tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum EnrolmentTokens {
    /// Make an enrolment token and print it, once, as JSON
    #[command(after_help = "\
Examples:
  graywave enrolment-tokens create --project acme --desktop desktop-1
  graywave enrolment-tokens create --project acme --uses 500 --expires-in-hours 72     for an image
Bring the token to the machine in a file and start its agent with --ca-file and --enrolment-token-file. A desktop that has a
good certificate cannot be enrolled again before it is revoked.")]
    Create {
        #[command(flatten)]
        project: Project,
        /// The one desktop it is for; any that has no certificate when it is left out
        #[arg(long, value_name = "ID")]
        desktop: Option<DesktopId>,
        /// Desktops that it enrols
        #[arg(long, value_name = "N", default_value_t = DEFAULT_ENROLMENT_TOKEN_USES, conflicts_with = "desktop")]
        uses: i64,
        /// Good for so many hours, 720 at most
        #[arg(long, value_name = "HOURS", default_value_t = DEFAULT_ENROLMENT_TOKEN_HOURS)]
        expires_in_hours: i64,
        /// Print the token alone, for scripts
        #[arg(long)]
        only_token: bool,
    },
    /// List a project's enrolment tokens
    List {
        #[command(flatten)]
        project: Project,
    },
    /// Revoke an enrolment token for good; desktops that it has enrolled stay
    Revoke {
        /// Id of the token, as it was printed and as it is listed
        token_id: String,
        #[command(flatten)]
        project: Project,
    },
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

async fn projects(control: &Control, command: Projects) -> anyhow::Result<String> {
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

async fn principals(control: &Control, command: Principals) -> anyhow::Result<String> {
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

async fn policies(control: &Control, command: Policies) -> anyhow::Result<String> {
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

async fn keys(control: &Control, command: Keys) -> anyhow::Result<String> {
    match command {
        Keys::Create(new) => {
            let expires_at = new.expires_at();
            let made = control.create_key(new.project.actor(), &new.principal, expires_at).await?;
            Ok(object(&json!({
                "project_id": new.project.id, "principal": new.principal, "access_key": made.access_key,
                "secret_key": made.secret_key, "expires_at": expires_at,
            })))
        }
        Keys::List { project } => {
            Ok(credentials("access key", control.list_keys(project.actor(), None, NO_LIMIT).await?))
        }
        Keys::Revoke { access_key, project } => {
            control.revoke_key(project.actor(), &access_key).await?;
            Ok(format!("access key {access_key} is revoked\n"))
        }
    }
}

async fn tokens(control: &Control, command: Tokens) -> anyhow::Result<String> {
    match command {
        Tokens::Create { new, only_token } => {
            let expires_at = new.expires_at();
            let made = control.create_token(new.project.actor(), &new.principal, expires_at).await?;
            if only_token {
                return Ok(format!("{}\n", made.token));
            }
            Ok(object(&json!({
                "project_id": new.project.id, "principal": new.principal,
                "token_id": made.token_id.simple().to_string(), "token": made.token, "expires_at": expires_at,
            })))
        }
        Tokens::List { project } => {
            Ok(credentials("token id", control.list_tokens(project.actor(), None, NO_LIMIT).await?))
        }
        Tokens::Revoke { token_id, project } => {
            control.revoke_token(project.actor(), &token_id).await?;
            Ok(format!("token {token_id} is revoked\n"))
        }
    }
}

async fn enrolment_tokens(control: &Control, command: EnrolmentTokens) -> anyhow::Result<String> {
    match command {
        EnrolmentTokens::Create { project, desktop, uses, expires_in_hours, only_token } => {
            let made =
                control.create_enrolment_token(project.actor(), desktop, uses, expires_in_hours).await?;
            if only_token {
                return Ok(format!("{}\n", made.token));
            }
            let terms = made.row.token;
            Ok(object(&json!({
                "project_id": project.id, "token_id": made.row.token_id.simple().to_string(), "token": made.token,
                "desktop_id": terms.desktop_id, "uses": terms.max_uses, "expires_at": terms.expires_at,
            })))
        }
        EnrolmentTokens::List { project } => {
            let found = control.list_enrolment_tokens(project.actor(), None, NO_LIMIT).await?;
            let rows = found.into_iter().map(|EnrolmentTokenRow { token_id, token }| {
                let state = if token.uses >= token.max_uses && token.revoked_at.is_none() {
                    "used up".to_owned()
                } else {
                    state(Some(token.expires_at), token.revoked_at)
                };
                let desktop = token.desktop_id.map_or_else(|| "any".to_owned(), DesktopId::into_string);
                let uses = format!("{} of {}", token.uses, token.max_uses);
                let (created, expires) = (time(Some(token.created_at)), time(Some(token.expires_at)));
                vec![token_id.simple().to_string(), desktop, uses, created, expires, state]
            });
            Ok(table(&["token id", "desktop", "used", "created", "expires", "state"], rows))
        }
        EnrolmentTokens::Revoke { token_id, project } => {
            control.revoke_enrolment_token(project.actor(), &token_id).await?;
            Ok(format!("enrolment token {token_id} is revoked\n"))
        }
    }
}

fn object(value: &Value) -> String {
    format!("{value}\n")
}

fn credentials(what: &str, rows: Vec<CredentialRow>) -> String {
    let rows = rows.into_iter().map(|row| {
        let state = state(row.expires_at, row.revoked_at);
        vec![row.id, row.principal, time(Some(row.created_at)), time(row.expires_at), state]
    });
    table(&[what, "principal", "created", "expires", "state"], rows)
}

fn state(expires_at: Option<Timestamp>, revoked_at: Option<Timestamp>) -> String {
    match (revoked_at, expires_at) {
        (Some(at), _) => format!("revoked {}", time(Some(at))),
        (None, Some(at)) if at <= Utc::now() => "expired".to_owned(),
        (None, _) => "good".to_owned(),
    }
}

fn time(moment: Option<Timestamp>) -> String {
    moment.map_or_else(|| "never".to_owned(), |moment| moment.format("%Y-%m-%d %H:%M:%S").to_string())
}
