//! `graywave attention`.

use clap::Args;
use proto::{
    Word as _,
    admin::{AttentionItem, AttentionKind, GetAttentionRequest, GetAttentionResponse, Margin, Task},
    word,
};

use super::CommonArgs;
use crate::{
    Error,
    format::{many, runs, time},
    output::{Cell, Column, Palette, Tone, cell, table},
};

/// Arguments of `graywave attention`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Shows what waits for a person first: halted tasks, missing approvals, stragglers, freezes and
pauses. Below are the running tasks, the one closest to its halt first.

Examples:
  graywave attention
  graywave attention -o name       task ids, one a line")]
pub struct AttentionArgs {
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn attention(arguments: AttentionArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let list = session.insight().get_attention(GetAttentionRequest {}).await;
    let list = list.map_err(|status| Error::of("cannot list what waits", &status))?.into_inner();
    if list.truncated {
        console.say("the list is cut at its limit: graywave ls shows every task");
    }
    let names = list.items.iter().filter_map(|item| item.task.as_ref()).map(|task| task.task_id.as_str());
    console.show(&list, &names.collect::<Vec<_>>().join("\n"), |palette, wide| text(&list, palette, wide))
}

const ITEMS: &[Column] = &[
    Column::text("waits for"),
    Column::id("task"),
    Column::text("since"),
    Column::text("until").wide(),
    Column::text("cause"),
];

const RUNNING: &[Column] = &[
    Column::id("task"),
    Column::text("status"),
    Column::text("runs"),
    Column::number("failed"),
    Column::number("at risk"),
    Column::number("halts at"),
    Column::number("worst case").wide(),
];

fn text(list: &GetAttentionResponse, palette: Palette, wide: bool) -> String {
    let waiting = match list.items.as_slice() {
        [] => "no task waits for a person\n".to_owned(),
        items => table(ITEMS, items.iter().map(item), wide, palette),
    };
    if list.running.is_empty() {
        return waiting;
    }
    let running = many(u32::try_from(list.running.len()).unwrap_or(u32::MAX), "running task");
    format!("{waiting}\n{running}:\n{}", table(RUNNING, list.running.iter().map(row), wide, palette))
}

fn item(item: &AttentionItem) -> Vec<Cell> {
    let kind = word::<AttentionKind>(item.kind);
    let tone = if item.kind == AttentionKind::number("HALTED") { Tone::Bad } else { Tone::Warn };
    vec![
        cell(kind.to_lowercase()).tone(tone),
        cell(item.task.as_ref().map_or("", |task| task.task_id.as_str())),
        cell(time(item.since_time.as_ref())),
        cell(time(item.until_time.as_ref())),
        cell(&item.sentence),
    ]
}

fn row(task: &Task) -> Vec<Cell> {
    let number = |of: fn(&Margin) -> Option<u32>| {
        task.margin.as_ref().and_then(of).map_or_else(String::new, |number| number.to_string())
    };
    vec![
        cell(&task.task_id),
        Cell::word(word::<proto::admin::TaskStatus>(task.status)),
        cell(runs(task)),
        cell(number(|margin| Some(margin.failed))),
        cell(number(|margin| Some(margin.at_risk))),
        cell(number(|margin| margin.threshold.filter(|_| !margin.unreachable))),
        cell(number(|margin| Some(margin.worst_case))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_tasks_come_before_the_running_ones() {
        let task = |task_id: &str| Task { task_id: task_id.to_owned(), ..Task::default() };
        let margin = Margin { failed: 1, at_risk: 3, threshold: Some(4), worst_case: 7, ..Margin::default() };
        let list = GetAttentionResponse {
            items: vec![AttentionItem {
                kind: AttentionKind::Approval.into(),
                wave: 2,
                targets: Some(40),
                sentence: "wave 2 of 40 targets waits for an approval".to_owned(),
                task: Some(task("aaaa")),
                ..AttentionItem::default()
            }],
            running: vec![Task { margin: Some(margin), ..task("bbbb") }],
            ..GetAttentionResponse::default()
        };
        let shown = text(&list, Palette::default(), true);
        let places = ["approval", "aaaa", "waits for an approval", "1 running task:", "bbbb", "4", "7"];
        let mut from = 0;
        for place in places {
            let found = shown.get(from..).and_then(|rest| rest.find(place));
            let found = found.unwrap_or_else(|| panic!("{place}: {shown}"));
            from += found;
        }
        assert_eq!(
            text(&GetAttentionResponse::default(), Palette::default(), false),
            "no task waits for a person\n"
        );
    }
}
