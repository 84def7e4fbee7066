//! `graywave pause`, `resume`, `approve`, `stop` and `concurrency`.

use clap::Args;
use proto::admin::{
    ApproveWaveRequest, PauseTaskRequest, ResumeTaskRequest, SetConcurrencyRequest, StopMode,
    StopTaskRequest, Task, Wave, WaveStatus,
};
use tonic::Status;

use super::{
    Common,
    found::{self, TaskNamed, no_task},
    idempotency_key, tasks,
};
use crate::{Failure, connect::repeated, spec::Ending};

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
pub struct StopArguments {
    #[command(flatten)]
    task: Option<TaskNamed>,
    /// One record, instead of a task
    #[arg(long, value_name = "ID", conflicts_with = "task_id", required_unless_present = "task_id")]
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
    let task_id = arguments.task.id(&session).await?;
    let request = PauseTaskRequest { task_id: task_id.clone(), idempotency_key: idempotency_key() };
    let paused = repeated(async || session.tasks().pause_task(request.clone()).await).await;
    let paused = paused.map_err(|status| refused("pause", &task_id, &status))?;
    console.say("paused: what runs goes on, and nothing more is started");
    tasks::print(&mut console, &paused.into_inner().task.unwrap_or_default())
}

pub(super) async fn resume(arguments: PauseArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    let request = ResumeTaskRequest { task_id: task_id.clone(), idempotency_key: idempotency_key() };
    let resumed = repeated(async || session.tasks().resume_task(request.clone()).await).await;
    let resumed = resumed.map_err(|status| refused("resume", &task_id, &status))?;
    tasks::print(&mut console, &resumed.into_inner().task.unwrap_or_default())
}

pub(super) async fn approve(arguments: ApproveArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    let seen = found::task(&session, &task_id).await?;
    let Some(wave) = arguments.wave.or_else(|| waits_for_approval(&seen)) else {
        return Err(Failure::refused(format!(
            "no wave of task {task_id} needs an approval that it does not have"
        ))
        .try_next(format!("graywave show {task_id}")));
    };
    let request = ApproveWaveRequest {
        task_id: task_id.clone(),
        wave,
        plan_hash: seen.plan_hash,
        script_hash: seen.script_hash,
        idempotency_key: idempotency_key(),
    };
    let approved = repeated(async || session.tasks().approve_wave(request.clone()).await).await;
    let approved =
        approved.map_err(|status| refused(&format!("approve wave {wave} of"), &task_id, &status))?;
    console.say(&format!("wave {wave} is approved"));
    tasks::print(&mut console, &approved.into_inner().task.unwrap_or_default())
}

/// The first wave that a person must still approve.
fn waits_for_approval(task: &Task) -> Option<u32> {
    let waits = |wave: &&Wave| {
        wave.needs_approval && wave.approved_by.is_empty() && wave.status() == WaveStatus::Pending
    };
    task.waves.iter().find(waits).map(|wave| wave.wave)
}

pub(super) async fn stop(arguments: StopArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = match &arguments.task {
        Some(task) => task.id(&session).await?,
        None => String::new(),
    };
    let mode = match arguments.mode {
        Ending::Drain => StopMode::Drain,
        Ending::Kill => StopMode::Kill,
    };
    let record_id = arguments.record.unwrap_or_default();
    let request = StopTaskRequest {
        task_id: task_id.clone(),
        record_id: record_id.clone(),
        mode: mode.into(),
        idempotency_key: idempotency_key(),
    };
    let stopped = repeated(async || session.tasks().stop_task(request.clone()).await).await;
    let stopped = stopped.map_err(|status| match record_id.as_str() {
        "" => refused("stop", &task_id, &status),
        record => Failure::of(&format!("cannot stop record {record}"), &status),
    })?;
    tasks::print(&mut console, &stopped.into_inner().task.unwrap_or_default())
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

/// A change of a task that was refused: how it stands says why more often than not.
fn refused(what: &str, task_id: &str, status: &Status) -> Failure {
    let failure = no_task(&format!("cannot {what} task {task_id}"), status);
    match status.code() {
        tonic::Code::FailedPrecondition => failure.try_next(format!("graywave show {task_id}")),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wave_that_is_approved_is_the_first_that_needs_it() {
        let wave = |wave, needs_approval, approved_by: &str| Wave {
            wave,
            needs_approval,
            approved_by: approved_by.into(),
            status: WaveStatus::Pending.into(),
            ..Wave::default()
        };
        let task = |waves| Task { waves, ..Task::default() };
        assert_eq!(
            waits_for_approval(&task(vec![wave(1, false, ""), wave(2, true, "ann"), wave(3, true, "")])),
            Some(3)
        );
        assert_eq!(waits_for_approval(&task(vec![wave(1, false, "")])), None);
    }
}
