//! `graywave pause`, `resume`, `approve`, `stop` and `concurrency`.

use clap::Args;
use proto::admin::{SetConcurrencyRequest, StopMode, StopTaskRequest, Task, TaskStatus};

use super::{Common, tasks};
use crate::{
    Failure,
    changes::{self, idempotency_key, refused},
    connect::{Session, repeated},
    spec::Ending,
    task_argument::TaskNamed,
};

/// Which task.
#[derive(Debug, Clone, Args)]
pub struct PauseArguments {
    #[command(flatten)]
    task: TaskNamed,
    #[command(flatten)]
    common: Common,
}

/// Which wave.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The approval is bound to the plan and the scripts that the task has at this moment: what you have seen is what you approve.
Examples:
  graywave show latest -o wide
  graywave approve latest")]
pub struct ApproveArguments {
    #[command(flatten)]
    task: TaskNamed,
    /// The wave, from 1; the first one that needs it and has none when it is left out
    #[arg(value_name = "WAVE", value_parser = clap::value_parser!(u32).range(1..))]
    wave: Option<u32>,
    #[command(flatten)]
    common: Common,
}

/// What is stopped.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave stop latest                  what runs is ended
  graywave stop latest --mode drain     what runs goes on to its end
  graywave stop --record RECORD         one script on one desktop alone")]
#[group(id = "what", required = true, args = ["task_id", "record"])]
pub struct StopArguments {
    #[command(flatten)]
    task: Option<TaskNamed>,
    /// One record, instead of a task
    #[arg(long, value_name = "ID")]
    record: Option<String>,
    /// What becomes of what runs
    #[arg(long, value_enum, value_name = "MODE", default_value = "kill")]
    mode: Ending,
    #[command(flatten)]
    common: Common,
}

/// How many.
#[derive(Debug, Clone, Args)]
pub struct ConcurrencyArguments {
    #[command(flatten)]
    task: TaskNamed,
    /// Desktops at it at once: 1 to 1,000,000, or `unlimited`: as many as the waves have
    #[arg(value_name = "N", value_parser = at_once)]
    max_concurrency: AtOnce,
    #[command(flatten)]
    common: Common,
}

/// A number, or none.
#[derive(Debug, Clone, Copy)]
struct AtOnce(Option<i64>);

fn at_once(text: &str) -> Result<AtOnce, String> {
    match text {
        "unlimited" => Ok(AtOnce(None)),
        text => text
            .parse()
            .map(|it| AtOnce(Some(it)))
            .map_err(|_| format!("{text} is neither a number nor `unlimited`")),
    }
}

pub(super) async fn pause(arguments: PauseArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task = changes::pause(&session, &arguments.task.id(&session).await?).await?;
    console.say("paused: what runs goes on, and nothing more is started");
    tasks::print(&mut console, &task)
}

pub(super) async fn resume(arguments: PauseArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task = changes::resume(&session, &arguments.task.id(&session).await?).await?;
    tasks::print(&mut console, &task)
}

pub(super) async fn approve(arguments: ApproveArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    let (wave, task) = changes::approve(&session, &task_id, arguments.wave).await?;
    console.say(&format!("wave {wave} is approved"));
    tasks::print(&mut console, &task)
}

pub(super) async fn stop(arguments: StopArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let mode = match arguments.mode {
        Ending::Drain => StopMode::Drain,
        Ending::Kill => StopMode::Kill,
    };
    let task = match (&arguments.task, arguments.record) {
        (Some(task), _) => {
            let task = changes::stop(&session, &task.id(&session).await?, mode).await?;
            console.say(stopped(task.status()));
            task
        }
        (None, record_id) => stop_record(&session, record_id.unwrap_or_default(), mode).await?,
    };
    tasks::print(&mut console, &task)
}

/// What came of it.
const fn stopped(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Stopping => "nothing more of it starts; what runs is waited for",
        TaskStatus::Stopped => "it is stopped",
        TaskStatus::Halting | TaskStatus::Halted => "the gate had halted it before",
        _ => "it had ended before: there was nothing to stop",
    }
}

async fn stop_record(session: &Session, record_id: String, mode: StopMode) -> Result<Task, Failure> {
    let doing = format!("cannot stop record {record_id}");
    let request = StopTaskRequest {
        record_id,
        mode: mode.into(),
        idempotency_key: idempotency_key(),
        ..StopTaskRequest::default()
    };
    let stopped = repeated(async || session.tasks().stop_task(request.clone()).await).await;
    Ok(stopped.map_err(|status| Failure::of(&doing, &status))?.into_inner().task.unwrap_or_default())
}

pub(super) async fn concurrency(arguments: ConcurrencyArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    let request = SetConcurrencyRequest {
        task_id: task_id.clone(),
        max_concurrency: arguments.max_concurrency.0,
        idempotency_key: idempotency_key(),
    };
    let changed = repeated(async || session.tasks().set_concurrency(request.clone()).await).await;
    let changed = changed.map_err(|status| refused("change the concurrency of", &task_id, &status))?;
    tasks::print(&mut console, &changed.into_inner().task.unwrap_or_default())
}
