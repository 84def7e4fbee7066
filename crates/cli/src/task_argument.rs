//! The argument that names a task.

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::{
    Failure, complete,
    connect::Session,
    found::{LATEST, latest},
};

/// Which task.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TaskNamed {
    /// Id of the task, or `latest` for the newest one
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(complete::tasks))]
    task_id: String,
}

impl TaskNamed {
    /// Its id.
    pub(crate) async fn id(&self, session: &Session) -> Result<String, Failure> {
        match self.task_id.as_str() {
            LATEST => latest(session).await,
            id => Ok(id.to_owned()),
        }
    }
}
