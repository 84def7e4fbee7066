//! Flags of every operator command.

use clap::Args;

use crate::{
    Error,
    client::{ConnectionArgs, Session},
    output::{Console, OutputArgs},
    task_arg::TaskArg,
};

/// Flags of every operator command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CommonArgs {
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

impl CommonArgs {
    /// Opens a session with the control plane, and the console that the command prints to.
    pub(super) async fn open(&self) -> Result<(Session, Console), Error> {
        Ok((self.connection.open().await?, self.output.console()))
    }
}

/// A task, and the flags of every operator command.
#[derive(Debug, Clone, Args)]
pub struct TaskArgs {
    #[command(flatten)]
    task: TaskArg,
    #[command(flatten)]
    common: CommonArgs,
}

impl TaskArgs {
    /// Opens a session and the console, and resolves the task to its id.
    pub(super) async fn open(&self) -> Result<(Session, Console, String), Error> {
        let (session, console) = self.common.open().await?;
        let task_id = self.task.id(&session).await?;
        Ok((session, console, task_id))
    }
}
