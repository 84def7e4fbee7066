//! Flags of every operator command.

use clap::Args;

use crate::{
    Error,
    client::{ConnectionArgs, Session},
    output::{Console, OutputArgs, Paging},
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

/// Warning for a token on the command line.
const TOKEN_IS_VISIBLE: &str = "warning: --token is visible in the process list and the shell history; set GRAYWAVE_TOKEN, or run \
     `graywave login < FILE`";

impl CommonArgs {
    /// Opens a session with the control plane, and the console that the command prints to.
    pub(super) async fn open(&self) -> Result<(Session, Console), Error> {
        let console = self.output.console();
        if self.connection.token.is_some() {
            console.say(TOKEN_IS_VISIBLE);
        }
        Ok((self.connection.open().await?, console))
    }
}

/// Flags of a list without filters, and those of every operator command.
#[derive(Debug, Clone, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) paging: Paging,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

/// A task, and the flags of every operator command.
#[derive(Debug, Clone, Args)]
pub(super) struct TaskArgs {
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
