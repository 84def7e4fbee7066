//! `graywave retry`.

use clap::Args;
use proto::admin::RetryTaskRequest;

use super::{
    CommonArgs,
    run::{EXIT_CODES, begun, print_id, to_its_end},
};
use crate::{Error, ExitStatus, actions::idempotency_key, client::repeated, task_arg::TaskArg};

/// Arguments of `graywave retry`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("\
Examples:
  graywave retry latest
  graywave retry --record ID --detach

{EXIT_CODES}"))]
#[group(id = "what", required = true, args = ["task_id", "record"])]
pub struct RetryArgs {
    #[command(flatten)]
    task: Option<TaskArg>,
    /// Record id: retry one script on one desktop instead of a task
    #[arg(long, value_name = "ID")]
    record: Option<String>,
    /// Print the id of the new task and exit instead of following it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn retry(arguments: RetryArgs) -> Result<ExitStatus, Error> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = match &arguments.task {
        Some(task) => task.id(&session).await?,
        None => String::new(),
    };
    let record_id = arguments.record.unwrap_or_default();
    let what = if record_id.is_empty() { format!("task {task_id}") } else { format!("record {record_id}") };
    let request = RetryTaskRequest { task_id, record_id, idempotency_key: idempotency_key() };
    let retried = repeated(async || session.tasks().retry_task(request.clone()).await).await;
    let retried = retried.map_err(|status| Error::of(&format!("cannot retry {what}"), &status))?;
    let task = retried.into_inner().task.unwrap_or_default();
    begun(&console, &task);
    if arguments.detach {
        return print_id(&mut console, &task).map(|()| ExitStatus::Success);
    }
    to_its_end(&session, &mut console, &task.task_id, false).await
}
