//! `graywave what-if`.

use std::time::SystemTime;

use clap::Args;
use proto::{
    admin::{WhatIfEnding, WhatIfRequest, WhatIfResponse, WhatIfWave},
    word,
};

use super::TaskArgs;
use crate::{
    Error,
    args::RolloutFlags,
    format::{fact, facts, painted, time},
    output::{Cell, Column, Palette, cell, table},
};

/// Arguments of `graywave what-if`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example:
  graywave what-if latest --waves 5:1,10%:2,rest --total-fail-threshold 10")]
pub struct WhatIfArgs {
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    rollout: RolloutFlags,
}

pub(super) async fn what_if(arguments: WhatIfArgs) -> Result<(), Error> {
    let flags = arguments.rollout.overrides();
    let rollout = arguments.rollout.into_rollout(SystemTime::now())?;
    let (session, mut console, task_id) = arguments.task.open().await?;
    let request = WhatIfRequest { task_id: task_id.clone(), rollout: Some(rollout) };
    let answer = session.insight().what_if(request).await;
    let answer = answer
        .map_err(|status| Error::with_flags(&format!("cannot replay task {task_id}"), &status, flags))?
        .into_inner();
    console.show(&answer, &task_id, |palette, wide| text(&answer, palette, wide))
}

const WAVES: &[Column] = &[
    Column::number("wave"),
    Column::number("size"),
    Column::number("finished"),
    Column::number("failed"),
    Column::text("gate"),
];

fn wave(wave: &WhatIfWave) -> Vec<Cell> {
    vec![cell(wave.wave), cell(wave.size), cell(wave.finished), cell(wave.failed), cell(&wave.verdict)]
}

fn text(answer: &WhatIfResponse, palette: Palette, wide: bool) -> String {
    let ending = word::<WhatIfEnding>(answer.ending);
    let told = facts(&[
        painted("ending", palette.word(ending)),
        fact("started", format!("at most {}", answer.started)),
        fact("failed", answer.failed.to_string()),
        fact("halted", time(answer.halt_time.as_ref())),
    ]);
    told + "\n" + &table(WAVES, answer.waves.iter().map(wave), wide, palette)
}
