//! `graywave retry`.

use clap::Args;
use proto::admin::RetryTaskRequest;

use super::{
    CommonArgs,
    run::{EXIT_CODES, begun, print_id, to_its_end},
};
use crate::{
    Error, ExitStatus,
    actions::idempotency_key,
    client::repeated,
    reason_flags::ReasonFlags,
    task_arg::{TaskOrRecord, TaskOrRecordArg},
};

/// Arguments of `graywave retry`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("\
Examples:
  graywave retry TASK
  graywave retry --record ID --detach

{EXIT_CODES}"))]
pub struct RetryArgs {
    #[command(flatten)]
    what: TaskOrRecordArg,
    /// Print the id of the new task and exit instead of following it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    reason: ReasonFlags,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn retry(arguments: RetryArgs) -> Result<ExitStatus, Error> {
    let (session, mut console) = arguments.common.open().await?;
    let idempotency_key = idempotency_key();
    let ReasonFlags { reason, ticket } = arguments.reason;
    let whole = RetryTaskRequest { idempotency_key, reason, ticket, ..RetryTaskRequest::default() };
    let (what, request) = match arguments.what.id(&session).await? {
        TaskOrRecord::Task(task_id) => (format!("task {task_id}"), RetryTaskRequest { task_id, ..whole }),
        TaskOrRecord::Record(record_id) => {
            (format!("record {record_id}"), RetryTaskRequest { record_id, ..whole })
        }
    };
    let retried = repeated(async || session.tasks().retry_task(request.clone()).await).await;
    let retried = retried.map_err(|status| Error::of(&format!("cannot retry {what}"), &status))?;
    let retried = retried.into_inner();
    let task = retried.task.unwrap_or_default();
    begun(&console, &task, &retried.warnings);
    if arguments.detach {
        return print_id(&mut console, &task).map(|()| ExitStatus::Success);
    }
    to_its_end(&session, &mut console, &task.task_id, false).await
}
