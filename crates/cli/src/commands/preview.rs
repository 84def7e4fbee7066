//! `graywave preview`.

use std::time::SystemTime;

use clap::Args;
use proto::admin::{Cleanup, PreviewTaskResponse, PreviewWave, TaskSpec, Warning};

use super::{
    CommonArgs,
    guard::guarded,
    plan::{Asked, ask},
};
use crate::{
    Error,
    args::{GuardFlags, Payload, TaskFlags, parameters},
    client::Session,
    field_flags::Overrides,
    format::{fact, facts},
    output::{Cell, Column, Console, Palette, cell, table},
    sanitize::sanitize_line,
};

/// Canaries and uncovered strata shown without `-o wide`.
const SHOWN: usize = 20;

/// Arguments of `graywave preview`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave preview --canary 5 --fail-threshold 2 --tag pool=finance -- reboot
  graywave preview --canary 1% --all -o wide -- true      # names each canary
  graywave preview --waves 5,10%,rest --pool p1 --with-desktops -o json -- true")]
pub struct PreviewArgs {
    #[command(flatten)]
    task: TaskFlags,
    /// Include the desktop ids of each wave and of offline desktops (with -o json or yaml)
    #[arg(long)]
    with_desktops: bool,
    #[command(flatten)]
    common: CommonArgs,
}

impl PreviewArgs {
    /// Makes the arguments of `graywave run --dry-run`.
    pub(super) const fn of(task: TaskFlags, common: CommonArgs) -> Self {
        Self { task, with_desktops: false, common }
    }
}

pub(super) async fn preview(arguments: PreviewArgs) -> Result<(), Error> {
    let PreviewArgs { task: TaskFlags { payload, desktops, rollout, guard, reason }, with_desktops, common } =
        arguments;
    let mut task = TaskSpec { reason: reason.reason, ticket: reason.ticket, ..TaskSpec::default() };
    // Check the local input before the connection, so that a mistake in it is reported first.
    let flags = rollout.overrides();
    rollout.apply(&mut task, SystemTime::now())?;
    task.parameters = parameters(&payload.parameters)?;
    let mut payload = payload.read()?;
    let (session, mut console) = common.open().await?;
    payload.resolve(&session, &task.parameters).await?;
    desktops.apply(&mut task, &session).await?;
    show(&session, &mut console, (task, &payload), (guard, flags), with_desktops).await?;
    console.finish()
}

/// Prints the plan of a task with its payload.
pub(super) async fn show(
    session: &Session,
    console: &mut Console,
    (mut task, payload): (TaskSpec, &Payload),
    (guard, flags): (GuardFlags, &'static Overrides),
    with_desktops: bool,
) -> Result<(), Error> {
    let asked = Asked { doing: "cannot preview the task", flags };
    guarded(session, console, &mut task, payload, asked, (guard, None)).await?;
    payload.look(&mut task);
    let plan = ask(session, &task, with_desktops, asked).await?;
    console.paged();
    console.show(&plan, &plan.plan_hash, |palette, wide| text(&plan, palette, wide))
}

const WAVES: &[Column] = &[
    Column::number("wave"),
    Column::number("size"),
    Column::number("offline"),
    Column::number("halts at"),
    Column::text("approval"),
    Column::number("max started"),
    Column::number("max failed"),
];

fn wave(wave: &PreviewWave) -> Vec<Cell> {
    let worst = wave.worst_case.unwrap_or_default();
    vec![
        cell(wave.wave),
        cell(wave.size),
        cell(wave.offline_count),
        cell(&wave.fail_threshold),
        cell(if wave.needs_approval { "required" } else { "" }),
        cell(worst.started),
        cell(worst.failed),
    ]
}

/// Formats a plan as text. `wide` adds the plan hash, and all canaries and uncovered strata.
pub(super) fn text(plan: &PreviewTaskResponse, palette: Palette, wide: bool) -> String {
    let worst = plan.worst_case.unwrap_or_default();
    let mut text = facts(&[
        fact("on", format!("{} desktops, {} of them offline", plan.target_count, plan.offline_count)),
        fact(
            "worst case",
            format!("{} started, {} failed, over the whole rollout", worst.started, worst.failed),
        ),
        fact("run as", &plan.run_as_user),
        fact("cleanup", if plan.cleanup() == Cleanup::Kill { "kill" } else { "" }),
        fact("seed", plan.seed.to_string()),
        fact("plan", if wide { plan.plan_hash.clone() } else { String::new() }),
    ]);
    text.push('\n');
    text.push_str(&table(WAVES, plan.waves.iter().map(wave), wide, palette));
    let most = if wide { usize::MAX } else { SHOWN };
    if !plan.canaries.is_empty() {
        let columns = [Column::text("canary"), Column::text("reason")];
        let rows = plan
            .canaries
            .iter()
            .take(most)
            .map(|canary| vec![cell(&canary.desktop_id), cell(&canary.reason)]);
        text.push('\n');
        text.push_str(&table(&columns, rows, wide, palette));
        text.push_str(&more(plan.canaries.len(), most, "canaries"));
    }
    if !plan.uncovered_strata.is_empty() {
        let columns = [
            Column::text("no canary for"),
            Column::text("pool"),
            Column::text("zone"),
            Column::number("desktops"),
        ];
        let rows = plan.uncovered_strata.iter().take(most).map(|stratum| {
            vec![
                cell(&stratum.os_type),
                cell(&stratum.desktop_pool_id),
                cell(&stratum.availability_zone),
                cell(stratum.desktops),
            ]
        });
        text.push('\n');
        text.push_str(&table(&columns, rows, wide, palette));
        text.push_str(&more(plan.uncovered_strata.len(), most, "strata"));
    }
    for found in &plan.warnings {
        text.push_str(&format!("\n{}\n", warning(found)));
    }
    text
}

/// Formats a warning about a request as a line.
pub(super) fn warning(warning: &Warning) -> String {
    let wave = warning.wave.map_or_else(String::new, |wave| format!("wave {wave}: "));
    format!("warning: {wave}{}", sanitize_line(&warning.message))
}

fn more(there: usize, most: usize, what: &str) -> String {
    if there > most { format!("{} more {what}: -o wide\n", there - most) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use proto::admin::{PreviewCanary, UncoveredStratum, WorstCase};

    use super::*;

    #[test]
    fn a_plan_says_what_may_happen_at_worst() {
        let canary = |n: usize| PreviewCanary {
            desktop_id: format!("desktop-{n:03}"),
            reason: "stratum Linux/p1/z1".into(),
        };
        let wave = |wave, size, started, failed| PreviewWave {
            wave,
            size,
            fail_threshold: if wave == 1 { "2".into() } else { String::new() },
            needs_approval: wave == 2,
            offline_count: 1,
            worst_case: Some(WorstCase { started, failed }),
            ..PreviewWave::default()
        };
        let plan = PreviewTaskResponse {
            target_count: 1_000,
            offline_count: 2,
            seed: 7,
            waves: vec![wave(1, 25, 25, 25), wave(2, 975, 1_000, 976)],
            canaries: (0..25).map(canary).collect(),
            uncovered_strata: vec![UncoveredStratum {
                os_type: "Windows".into(),
                desktops: 3,
                ..UncoveredStratum::default()
            }],
            worst_case: Some(WorstCase { started: 1_000, failed: 976 }),
            plan_hash: "ab12".into(),
            ..PreviewTaskResponse::default()
        };
        insta::assert_snapshot!("a_plan", text(&plan, Palette::default(), false));
    }

    #[test]
    fn warnings_end_the_plan() {
        let found = |wave| Warning { code: "X".into(), message: "mixed\u{1b}[2J".into(), wave };
        let plan = PreviewTaskResponse { warnings: vec![found(None), found(Some(2))], ..Default::default() };
        let text = text(&plan, Palette::default(), false);
        assert!(text.ends_with("\nwarning: mixed [2J\n\nwarning: wave 2: mixed [2J\n"), "{text}");
    }
}
