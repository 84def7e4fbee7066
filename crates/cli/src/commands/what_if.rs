//! `graywave what-if`.

use clap::Args;
use proto::{
    admin::{WhatIfEnding, WhatIfRequest, WhatIfResponse, WhatIfWave},
    word,
};

use super::TaskArgs;
use crate::{
    Error,
    args::{RolloutFile, WaveFlags, WeightFlags, recorded_waves},
    client::get_task,
    format::{fact, facts, painted, time},
    output::{Cell, Column, Palette, cell, table},
};

/// Arguments of `graywave what-if`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The replay uses the waves that the task had, unless --waves or --canary is given.

Examples:
  graywave what-if latest --fail-threshold 1
  graywave what-if latest --waves 5:1,10%:2,rest --total-fail-threshold 10
  graywave what-if latest --exit-code 3=ignore")]
pub struct WhatIfArgs {
    #[command(flatten)]
    task: TaskArgs,
    #[command(flatten)]
    waves: WaveFlags,
    #[command(flatten)]
    weights: WeightFlags,
    #[command(flatten)]
    file: RolloutFile,
}

pub(super) async fn what_if(arguments: WhatIfArgs) -> Result<(), Error> {
    let flags = arguments.waves.overrides();
    let mut rollout = arguments.file.read()?;
    arguments.weights.apply(&mut rollout)?;
    let (session, mut console, task_id) = arguments.task.open().await?;
    if arguments.waves.change_recorded_waves(&rollout) {
        rollout.waves = recorded_waves(&get_task(&session, &task_id).await?.waves)?;
    }
    arguments.waves.apply_to_replay(&mut rollout);
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
    let summary = facts(&[
        painted("ending", palette.word(ending)),
        fact("started", format!("at most {}", answer.started)),
        fact("failed", answer.failed.to_string()),
        fact("halted", time(answer.halt_time.as_ref())),
    ]);
    summary + "\n" + &table(WAVES, answer.waves.iter().map(wave), wide, palette)
}
