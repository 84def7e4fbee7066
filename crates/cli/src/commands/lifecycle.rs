//! `graywave pause`, `resume`, `stop` and `concurrency`.

use clap::Args;
use proto::admin::{SetConcurrencyRequest, StopMode, StopTaskRequest, Task, TaskStatus};

use super::{CommonArgs, TaskArgs, tasks};
use crate::{
    Error,
    actions::{self, idempotency_key, refused},
    args::Ending,
    client::{Session, repeated},
    number::{Limit, MAX_CONCURRENCY, limit},
    reason_flags::ReasonFlags,
    task_arg::{TaskOrRecord, TaskOrRecordArg},
};

/// Arguments of `graywave pause` and `graywave resume`.
#[derive(Debug, Clone, Args)]
pub struct HoldArgs {
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    reason: ReasonFlags,
}

/// Arguments of `graywave stop`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave stop TASK                  kill running scripts
  graywave stop TASK --mode drain     let running scripts finish
  graywave stop --record ID           one script on one desktop")]
pub struct StopArgs {
    #[command(flatten)]
    what: TaskOrRecordArg,
    /// Effect on running scripts
    #[arg(long, value_enum, value_name = "MODE", default_value = "kill")]
    mode: Ending,
    #[command(flatten)]
    reason: ReasonFlags,
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `graywave concurrency`.
#[derive(Debug, Clone, Args)]
pub struct ConcurrencyArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// Maximum number of desktops running at the same time: 1 to 1000000, or `unlimited`
    #[arg(value_name = "N", value_parser = limit(MAX_CONCURRENCY, 50))]
    max_concurrency: Limit,
}

pub(super) async fn pause(arguments: HoldArgs) -> Result<(), Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    let task = actions::pause(&session, &task_id, &arguments.reason).await?;
    console.say("paused; running scripts continue");
    tasks::print(&mut console, &task)
}

pub(super) async fn resume(arguments: HoldArgs) -> Result<(), Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    let task = actions::resume(&session, &task_id, &arguments.reason).await?;
    tasks::print(&mut console, &task)
}

pub(super) async fn stop(arguments: StopArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let mode = match arguments.mode {
        Ending::Drain => StopMode::Drain,
        Ending::Kill => StopMode::Kill,
    };
    let task = match arguments.what.id(&session).await? {
        TaskOrRecord::Task(task_id) => {
            let task = actions::stop(&session, &task_id, mode, &arguments.reason).await?;
            console.say(stopped(task.status()));
            task
        }
        TaskOrRecord::Record(record_id) => stop_record(&session, record_id, mode, &arguments.reason).await?,
    };
    tasks::print(&mut console, &task)
}

/// Describes the result of a stop by the new status of the task.
const fn stopped(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Stopping => "stopping; running scripts finish first",
        TaskStatus::Stopped => "stopped",
        TaskStatus::Halting | TaskStatus::Halted => "already halted by the gate",
        _ => "already ended; nothing to stop",
    }
}

async fn stop_record(
    session: &Session,
    record_id: String,
    mode: StopMode,
    why: &ReasonFlags,
) -> Result<Task, Error> {
    let doing = format!("cannot stop record {record_id}");
    let request = StopTaskRequest {
        record_id,
        mode: mode.into(),
        idempotency_key: idempotency_key(),
        reason: why.reason.clone(),
        ticket: why.ticket.clone(),
        ..StopTaskRequest::default()
    };
    let stopped = repeated(async || session.tasks().stop_task(request.clone()).await).await;
    Ok(stopped.map_err(|status| Error::of(&doing, &status))?.into_inner().task.unwrap_or_default())
}

pub(super) async fn concurrency(arguments: ConcurrencyArgs) -> Result<(), Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    let request = SetConcurrencyRequest {
        task_id: task_id.clone(),
        max_concurrency: arguments.max_concurrency.0,
        idempotency_key: idempotency_key(),
    };
    let changed = repeated(async || session.tasks().set_concurrency(request.clone()).await).await;
    let changed = changed.map_err(|status| refused("change the concurrency of", &task_id, &status))?;
    tasks::print(&mut console, &changed.into_inner().task.unwrap_or_default())
}
