//! What operators do, each verb in its own words.

mod audit;
mod config;
mod desktops;
mod hold;
mod insight;
mod login;
mod logs;
mod preview;
mod project;
mod records;
mod retry;
mod run;
mod scripts;
mod streamed;
mod tasks;
mod what_if;
mod workers;

use clap::{Args, Subcommand};

use crate::{
    Ended, Failure,
    connect::{Connection, Session},
    out::{Console, Manner},
};

/// What operators do, over admin gRPC.
#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "COMMAND")]
pub enum Verb {
    /// Run a script or a command on desktops in gray waves, and follow it to its end
    Run(Box<run::RunArguments>),
    /// Show the waves that `run` would make: who is in them, who is away, and what may happen at worst. Runs nothing
    Preview(Box<preview::PreviewArguments>),
    /// Watch a rollout: waves, gate and failures on the whole screen
    Watch(run::WatchArguments),
    /// List tasks, newest first
    #[command(visible_alias = "tasks")]
    Ls(tasks::LsArguments),
    /// Show a task: its waves, and what the gate said of each
    Show(tasks::ShowArguments),
    /// List the records of a task: one script on one desktop, and how it ended
    Records(records::RecordsArguments),
    /// Print what a desktop printed
    Logs(logs::LogsArguments),
    /// Group the failures of a task by what they look like
    Failures(insight::FailuresArguments),
    /// Say why a task came to what it came to, or why a desktop of it did or did not run
    Explain(insight::ExplainArguments),
    /// Read the results of a task that has ended again under other thresholds: where would it have halted?
    WhatIf(Box<what_if::WhatIfArguments>),
    /// Pause a task: nothing more of it is started, and what runs goes on
    Pause(hold::PauseArguments),
    /// Let a paused task go on
    Resume(hold::PauseArguments),
    /// Approve the wave that waits for it
    Approve(hold::ApproveArguments),
    /// Stop a task: nothing more of it is started, and what runs is ended
    Stop(hold::StopArguments),
    /// Run again what of a task did not succeed, as a task of its own
    Retry(retry::RetryArguments),
    /// Change how many desktops of a task may be at it at once
    Concurrency(hold::ConcurrencyArguments),
    /// Save, show, change and delete scripts
    Scripts(scripts::ScriptsArguments),
    /// List desktops and show what is known of them
    Desktops(desktops::DesktopsArguments),
    /// List workers, drain them, and let them work again
    Workers(workers::WorkersArguments),
    /// Freeze the project: nothing more of any task is started
    Freeze(project::FreezeArguments),
    /// Unfreeze the project: its tasks go on
    Unfreeze(project::UnfreezeArguments),
    /// Show or change the limits of the project
    Limits(project::LimitsArguments),
    /// List who did what, and what was refused
    Audit(audit::AuditArguments),
    /// Keep the address of a control plane and a token for it
    Login(login::LoginArguments),
    /// Show, choose and forget what `login` keeps
    Config(config::ConfigArguments),
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    ///
    /// What failed, why, and what to try next.
    pub async fn run(self) -> Result<Ended, Failure> {
        match self {
            Self::Run(it) => Box::pin(run::run(*it)).await,
            Self::Watch(it) => Box::pin(run::watch(it)).await,
            Self::Retry(it) => Box::pin(retry::retry(it)).await,
            other => Box::pin(other.ask()).await.map(|()| Ended::Success),
        }
    }

    /// What has no ending of its own.
    async fn ask(self) -> Result<(), Failure> {
        match self {
            Self::Preview(it) => preview::preview(*it).await,
            Self::Ls(it) => tasks::ls(it).await,
            Self::Show(it) => tasks::show(it).await,
            Self::Records(it) => records::records(it).await,
            Self::Logs(it) => logs::logs(it).await,
            Self::Failures(it) => insight::failures(it).await,
            Self::Explain(it) => insight::explain(it).await,
            Self::WhatIf(it) => what_if::what_if(*it).await,
            Self::Pause(it) => hold::pause(it).await,
            Self::Resume(it) => hold::resume(it).await,
            Self::Approve(it) => hold::approve(it).await,
            Self::Stop(it) => hold::stop(it).await,
            Self::Concurrency(it) => hold::concurrency(it).await,
            Self::Scripts(it) => scripts::scripts(it).await,
            Self::Desktops(it) => desktops::desktops(it).await,
            Self::Workers(it) => workers::workers(it).await,
            Self::Freeze(it) => project::freeze(it).await,
            Self::Unfreeze(it) => project::unfreeze(it).await,
            Self::Limits(it) => project::limits(it).await,
            Self::Audit(it) => audit::audit(it).await,
            Self::Login(it) => login::login(it).await,
            Self::Config(it) => config::config(it),
            // They have an ending of their own.
            Self::Run(_) | Self::Watch(_) | Self::Retry(_) => Ok(()),
        }
    }
}

/// What every verb takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    connection: Connection,
}

impl Common {
    async fn open(&self) -> Result<(Session, Console), Failure> {
        Ok((self.connection.open().await?, self.manner.console()))
    }
}
