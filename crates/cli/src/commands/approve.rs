//! `graywave approve`.

use clap::Args;
use domain::limits::MAX_WAVE_NUMBER;

use super::{TaskArgs, confirm::confirm, tasks};
use crate::{Error, actions::WaveToApprove, number::number, reason_flags::ReasonFlags};

/// Arguments of `graywave approve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The approval applies to the current plan and scripts of the task only.

Examples:
  graywave show TASK -o wide
  graywave approve TASK
  graywave approve TASK 2 --yes --reason 'canaries look good'")]
pub struct ApproveArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// Wave number, from 1 [default: the first wave that awaits approval]
    #[arg(value_name = "WAVE", value_parser = number(1, u32::from(MAX_WAVE_NUMBER), 2))]
    wave: Option<u32>,
    /// Approve although too few targets of the previous wave succeeded
    #[arg(long)]
    without_evidence: bool,
    /// Approve without a question; required without a terminal
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    reason: ReasonFlags,
}

pub(super) async fn approve(arguments: ApproveArgs) -> Result<(), Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    let read = WaveToApprove::read(&session, &task_id, arguments.wave, arguments.without_evidence);
    let found = read.await?;
    // The control plane refuses a wave that the task does not have.
    if let Some(question) = found.question() {
        confirm(&question, arguments.yes)?;
    }
    let wave = found.wave;
    let task = found.approve(&session, &arguments.reason).await?;
    console.say(&format!("approved wave {wave}"));
    tasks::print(&mut console, &task)
}
