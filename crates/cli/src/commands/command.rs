//! The operator commands and their dispatch.

use clap::Subcommand;

use super::{
    access, agents, approve, attention, audit, can_i, certificates, config, desktops, insight, lifecycle,
    limits, login, logs, preview, project, records, retry, run, scripts, tasks, what_if, workers,
};
use crate::{Error, ExitStatus};

/// The commands of operators, over admin gRPC.
#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "COMMAND")]
pub enum Command {
    /// Run a script or command in gray waves and follow the rollout
    Run(Box<run::RunArgs>),
    /// Show the plan of a run: waves, canaries and worst case
    Preview(Box<preview::PreviewArgs>),
    /// Watch a rollout on the full screen: waves, gate and failures
    Watch(run::WatchArgs),
    /// List tasks, newest first
    #[command(visible_aliases = ["list", "tasks"])]
    Ls(tasks::LsArgs),
    /// List what waits for a person, and how close running tasks are to a halt
    Attention(attention::AttentionArgs),
    /// Show a task: its status, its waves and the gate's verdicts
    #[command(visible_alias = "status")]
    Show(tasks::ShowArgs),
    /// List the results of a task, per script and desktop
    Records(records::RecordsArgs),
    /// Print the output of a task's scripts on a desktop
    Logs(logs::LogsArgs),
    /// Group the failures of a task by fingerprint
    Failures(insight::FailuresArgs),
    /// Explain a task's result, or why a desktop did or did not run
    Explain(insight::ExplainArgs),
    /// Replay an ended task under other thresholds
    WhatIf(Box<what_if::WhatIfArgs>),
    /// Pause a task; running scripts continue
    Pause(lifecycle::HoldArgs),
    /// Resume a paused task
    Resume(lifecycle::HoldArgs),
    /// Approve a wave that awaits approval
    Approve(approve::ApproveArgs),
    /// Stop a task, and kill or drain its running scripts
    #[command(visible_alias = "cancel")]
    Stop(lifecycle::StopArgs),
    /// Retry the unsuccessful targets of a task as a new task
    Retry(retry::RetryArgs),
    /// Limit how many desktops run a task at the same time
    Concurrency(lifecycle::ConcurrencyArgs),
    /// Save, show, update and delete scripts
    Scripts(scripts::ScriptsArgs),
    /// List, show, tag, enrol, retire and revoke desktops
    Desktops(Box<desktops::DesktopsArgs>),
    /// Upgrade agents by a rollout
    Agents(agents::AgentsArgs),
    /// List, drain and undrain workers
    Workers(workers::WorkersArgs),
    /// Deny certificates of roles, signers and principals
    Certificates(certificates::CertificatesArgs),
    /// Freeze the project: no task starts more scripts
    Freeze(project::FreezeArgs),
    /// Unfreeze the project: its tasks continue
    Unfreeze(project::UnfreezeArgs),
    /// Show or change the limits and the guardrails of the project
    Limits(limits::LimitsArgs),
    /// List the audit log (changes and refused calls), or verify its seals
    Audit(audit::AuditArgs),
    /// List, create, revoke and stop projects, the tenants
    Projects(access::ProjectsArgs),
    /// List and create principals, and bind policies to them
    Principals(access::PrincipalsArgs),
    /// List, show, create and delete access policies
    Policies(access::PoliciesArgs),
    /// List, create and revoke bearer tokens
    Tokens(access::TokensArgs),
    /// List, create and revoke access keys, which sign requests
    Keys(access::KeysArgs),
    /// List, create and revoke enrolment tokens of desktops
    EnrolmentTokens(access::EnrolmentTokensArgs),
    /// Ask whether the caller, or another principal, may perform an action
    CanI(can_i::CanIArgs),
    /// Save a control plane's address and a credential for it
    Login(login::LoginArgs),
    /// List, show, switch and remove contexts
    Config(config::ConfigArgs),
}

impl Command {
    /// Returns the arguments of `audit verify`, which runs on the database; `None` for commands
    /// that call the control plane.
    pub const fn audit_verification(&self) -> Option<&audit::AuditVerifyArgs> {
        match self {
            Self::Audit(arguments) => arguments.verification(),
            _ => None,
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    ///
    /// The cause of the failure and the hints on how to fix it.
    pub async fn run(self) -> Result<ExitStatus, Error> {
        match self {
            Self::Run(it) => Box::pin(run::run(*it)).await,
            Self::Watch(it) => Box::pin(run::watch(it)).await,
            Self::Retry(it) => Box::pin(retry::retry(it)).await,
            Self::Logs(it) => Box::pin(logs::logs(it)).await,
            Self::Agents(it) => Box::pin(agents::agents(it)).await,
            Self::CanI(it) => Box::pin(can_i::can_i(it)).await,
            other => Box::pin(other.ask()).await.map(|()| ExitStatus::Success),
        }
    }

    /// Runs a command that follows no rollout.
    async fn ask(self) -> Result<(), Error> {
        match self {
            Self::Preview(it) => preview::preview(*it).await,
            Self::Ls(it) => tasks::ls(it).await,
            Self::Attention(it) => attention::attention(it).await,
            Self::Show(it) => tasks::show(it).await,
            Self::Records(it) => records::records(it).await,
            Self::Failures(it) => insight::failures(it).await,
            Self::Explain(it) => insight::explain(it).await,
            Self::WhatIf(it) => what_if::what_if(*it).await,
            Self::Pause(it) => lifecycle::pause(it).await,
            Self::Resume(it) => lifecycle::resume(it).await,
            Self::Approve(it) => approve::approve(it).await,
            Self::Stop(it) => lifecycle::stop(it).await,
            Self::Concurrency(it) => lifecycle::concurrency(it).await,
            Self::Scripts(it) => scripts::scripts(it).await,
            Self::Desktops(it) => desktops::desktops(*it).await,
            Self::Workers(it) => workers::workers(it).await,
            Self::Certificates(it) => certificates::certificates(it).await,
            Self::Freeze(it) => project::freeze(it).await,
            Self::Unfreeze(it) => project::unfreeze(it).await,
            Self::Limits(it) => limits::limits(it).await,
            Self::Audit(it) => audit::audit(it).await,
            Self::Projects(it) => access::projects(it).await,
            Self::Principals(it) => access::principals(it).await,
            Self::Policies(it) => access::policies(it).await,
            Self::Tokens(it) => access::tokens(it).await,
            Self::Keys(it) => access::keys(it).await,
            Self::EnrolmentTokens(it) => access::enrolment_tokens(it).await,
            Self::Login(it) => login::login(it).await,
            Self::Config(it) => config::config(it),
            // Handled in `run`.
            Self::Run(_)
            | Self::Watch(_)
            | Self::Retry(_)
            | Self::Logs(_)
            | Self::Agents(_)
            | Self::CanI(_) => Ok(()),
        }
    }
}
