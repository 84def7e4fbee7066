//! `graywave what-if`.

use std::time::SystemTime;

use clap::Args;
use proto::{
    admin::{WhatIfEnding, WhatIfRequest, WhatIfResponse, WhatIfWave},
    word,
};

use super::Common;
use crate::{
    Failure,
    out::{Cell, Column, Paint, cell, table},
    spec::RolloutFlags,
    task_argument::TaskNamed,
    told::{fact, facts, painted, time},
};

/// Under which rollout.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Example: the task had no threshold; would one have helped?
  graywave what-if latest --waves 5:1,10%:2,rest --total-fail-threshold 10")]
pub struct WhatIfArguments {
    #[command(flatten)]
    task: TaskNamed,
    #[command(flatten)]
    rollout: RolloutFlags,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn what_if(arguments: WhatIfArguments) -> Result<(), Failure> {
    let flags = arguments.rollout.overrides();
    let rollout = arguments.rollout.into_rollout(SystemTime::now())?;
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    let request = WhatIfRequest { task_id: task_id.clone(), rollout: Some(rollout) };
    let answer = session.insight().what_if(request).await;
    let answer = answer
        .map_err(|status| Failure::with_flags(&format!("cannot read task {task_id} again"), &status, flags))?
        .into_inner();
    console.show(&answer, &task_id, |paint, wide| text(&answer, paint, wide))
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

fn text(answer: &WhatIfResponse, paint: Paint, wide: bool) -> String {
    let ending = word::<WhatIfEnding>(answer.ending);
    let told = facts(&[
        painted("ending", paint.word(ending)),
        fact("started", format!("{} at most", answer.started)),
        fact("failed", answer.failed.to_string()),
        fact("halted", time(answer.halt_time.as_ref())),
    ]);
    told + "\n" + &table(WAVES, answer.waves.iter().map(wave), wide, paint)
}
