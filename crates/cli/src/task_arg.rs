//! The argument that names a task.

use clap::Args;
use clap_complete::ArgValueCompleter;
use proto::admin::ListTasksRequest;

use crate::{
    Error,
    client::{Session, tasks_of},
    completion::{self, LATEST},
    format::time,
    id_prefix::{self, Digits},
};

/// A task, by the first digits of its id or by the word `latest`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TaskArg {
    /// Task id or its first digits, or `latest` for your newest task
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(completion::tasks))]
    task_id: String,
    #[command(flatten)]
    author: AuthorArg,
}

/// Author of the task that `latest` stands for.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct AuthorArg {
    /// With `latest`: the newest task of any author
    #[arg(long)]
    any: bool,
}

impl TaskArg {
    /// Resolves the argument to an id.
    pub(crate) async fn id(&self, session: &Session) -> Result<String, Error> {
        task_id(session, &self.task_id, self.author).await
    }
}

/// Resolves the name of a task to its id.
pub(crate) async fn task_id(session: &Session, text: &str, author: AuthorArg) -> Result<String, Error> {
    if text == LATEST {
        return latest(session, author).await;
    }
    if author.any {
        return Err(Error::misused(format!("--any applies to `latest`, and the task is {text:?}")));
    }
    match Digits::parse(text) {
        Some(Digits::Whole(task_id)) => Ok(task_id),
        Some(Digits::Prefix(digits)) => with_prefix(session, digits).await,
        None => Err(Error::misused(format!("invalid task id {text:?}: expected hex digits, or `latest`"))
            .try_next("graywave ls")),
    }
}

/// Finds the only task whose id starts with some digits.
async fn with_prefix(session: &Session, digits: String) -> Result<String, Error> {
    let request = ListTasksRequest {
        task_id_prefix: digits.clone(),
        page_size: id_prefix::CANDIDATES,
        ..ListTasksRequest::default()
    };
    let found = tasks_of(session, request).await?;
    let candidates = found.into_iter().map(|task| {
        let text = format!("{} by {}", time(task.create_time.as_ref()), task.created_by);
        (task.task_id, text)
    });
    id_prefix::only("task", &digits, candidates.collect(), "graywave ls")
}

/// Finds the id of the newest task: the caller's, or that of any author.
async fn latest(session: &Session, author: AuthorArg) -> Result<String, Error> {
    let request = ListTasksRequest { page_size: 1, mine: !author.any, ..ListTasksRequest::default() };
    let task = tasks_of(session, request).await?.into_iter().next();
    task.map(|task| task.task_id).ok_or_else(|| match author.any {
        true => Error::refused("the project has no tasks yet").try_next("graywave run"),
        false => Error::refused("you have no tasks in this project yet")
            .try_next("graywave run")
            .try_next("--any: the newest task of any author"),
    })
}

/// Either a task or one of its records.
#[derive(Debug, Clone, Args)]
#[group(id = "what", required = true, multiple = false, args = ["task_id", "record"])]
pub(crate) struct TaskOrRecordArg {
    /// Task id or its first digits, or `latest` for your newest task
    #[arg(value_name = "TASK", add = ArgValueCompleter::new(completion::tasks))]
    task_id: Option<String>,
    /// Record id: one script on one desktop instead of a task
    #[arg(long, value_name = "ID")]
    record: Option<String>,
    #[command(flatten)]
    author: AuthorArg,
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
                let text = self.task_id.unwrap_or_default();
                Ok(TaskOrRecord::Task(task_id(session, &text, self.author).await?))
            }
        }
    }
}
