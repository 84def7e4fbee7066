//! `graywave retry`.

use clap::Args;
use proto::admin::{RetryTaskRequest, Task};

use super::{
    CommonArgs, confirm,
    run::{EXIT_CODES, begun, follow_new, print_id},
};
use crate::{
    Error, ExitStatus,
    actions::idempotency_key,
    client::{get_task, repeated},
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
    /// Run without a question, also on many desktops in one wave (`confirm-above` of the context)
    #[arg(long, short)]
    yes: bool,
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
        TaskOrRecord::Task(task_id) => {
            if !arguments.yes {
                let task = get_task(&session, &task_id).await?;
                confirm::confirm_retry(at_once(&task), session.confirm_above())?;
            }
            (format!("task {task_id}"), RetryTaskRequest { task_id, ..whole })
        }
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
    follow_new(&session, &mut console, &task, false).await
}

/// Returns the number of desktops that a retry starts at once: all that did not succeed, of a task
/// with one wave. A retry keeps the waves of its task.
fn at_once(task: &Task) -> u32 {
    match task.waves.as_slice() {
        [wave] => wave.size.saturating_sub(wave.targets.unwrap_or_default().success),
        _ => 0,
    }
}
