//! The argument that names a task.

use clap::Args;
use clap_complete::ArgValueCompleter;

use crate::{
    Error,
    client::{Session, newest_tasks},
    completion::{self, LATEST},
};

/// A task, by id or by the word `latest`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TaskArg {
    /// Task id, or `latest` for the newest task of the project, of any author
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(completion::tasks))]
    task_id: String,
}

impl TaskArg {
    /// Resolves the argument to an id.
    pub(crate) async fn id(&self, session: &Session) -> Result<String, Error> {
        match self.task_id.as_str() {
            LATEST => latest(session).await,
            id => Ok(id.to_owned()),
        }
    }
}

/// Either a task or one of its records.
#[derive(Debug, Clone, Args)]
#[group(id = "what", required = true, multiple = false)]
pub(crate) struct TaskOrRecordArg {
    /// Task id, or `latest` for the newest task of the project, of any author
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(completion::tasks))]
    task_id: Option<String>,
    /// Record id: one script on one desktop instead of a task
    #[arg(long, value_name = "ID")]
    record: Option<String>,
}

/// A resolved argument.
#[derive(Debug)]
pub(crate) enum TaskOrRecord {
    /// Id of a task.
    Task(String),
    /// Id of a record.
    Record(String),
}

impl TaskOrRecordArg {
    /// Resolves the argument to an id.
    pub(crate) async fn id(self, session: &Session) -> Result<TaskOrRecord, Error> {
        match self.record {
            Some(record_id) => Ok(TaskOrRecord::Record(record_id)),
            None => {
                let task = TaskArg { task_id: self.task_id.unwrap_or_default() };
                Ok(TaskOrRecord::Task(task.id(session).await?))
            }
        }
    }
}

/// Finds the id of the newest task.
pub(crate) async fn latest(session: &Session) -> Result<String, Error> {
    let task = newest_tasks(session, 1).await?.into_iter().next();
    task.map(|task| task.task_id)
        .ok_or_else(|| Error::refused("the project has no tasks yet").try_next("graywave run"))
}
