//! `graywave retry`.

use clap::Args;
use proto::admin::RetryTaskRequest;

use super::{
    Common,
    run::{EXIT_CODES, begun, print_id, to_its_end},
};
use crate::{Ended, Failure, changes::idempotency_key, connect::repeated, task_argument::TaskNamed};

/// What is retried.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("\
Examples:
  graywave retry latest
  graywave retry --record RECORD --detach

{EXIT_CODES}"))]
#[group(id = "what", required = true, args = ["task_id", "record"])]
pub struct RetryArguments {
    #[command(flatten)]
    task: Option<TaskNamed>,
    /// One record, instead of a task
    #[arg(long, value_name = "ID")]
    record: Option<String>,
    /// Do not follow the new task: print its id and end
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn retry(arguments: RetryArguments) -> Result<Ended, Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = match &arguments.task {
        Some(task) => task.id(&session).await?,
        None => String::new(),
    };
    let record_id = arguments.record.unwrap_or_default();
    let what = if record_id.is_empty() { format!("task {task_id}") } else { format!("record {record_id}") };
    let request = RetryTaskRequest { task_id, record_id, idempotency_key: idempotency_key() };
    let retried = repeated(async || session.tasks().retry_task(request.clone()).await).await;
    let retried = retried.map_err(|status| Failure::of(&format!("cannot retry {what}"), &status))?;
    let task = retried.into_inner().task.unwrap_or_default();
    begun(&console, &task);
    if arguments.detach {
        return print_id(&mut console, &task).map(|()| Ended::Success);
    }
    to_its_end(&session, &mut console, &task.task_id, false).await
}
