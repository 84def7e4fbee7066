//! `graywave ls` and `graywave show`.

use std::{collections::BTreeSet, time::SystemTime};

use clap::Args;
use proto::{
    admin::{Cleanup, ListTasksRequest, PostFinish, Task, TaskStatus, Wave, WaveHold, WaveStatus},
    word,
};

use super::{CommonArgs, TaskArgs, task_totals, task_watch};
use crate::{
    Error,
    args::{Since, one_of, since},
    client,
    format::{Fact, between, fact, facts, justification, many, painted, pairs, runs, time},
    output::{Cell, Column, Console, ListItem, Paging, Palette, cell, pages, table, tone},
    sanitize::sanitize_line,
};

/// Arguments of `graywave ls`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave ls --limit 10
  graywave ls --mine --since 2h
  graywave ls --status RUNNING,HALTED --watch
  graywave ls --ticket OPS-1234 -o wide
  graywave ls -o name | xargs -n1 graywave failures")]
pub struct LsArgs {
    /// Only tasks with one of these statuses: --status RUNNING,HALTED
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = one_of::<TaskStatus>(), ignore_case = true)]
    status: Vec<i32>,
    /// Only tasks whose reason contains this text, in any case of letters
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    reason: String,
    /// Only tasks with this ticket
    #[arg(long, value_name = "ID", default_value_t, hide_default_value = true)]
    ticket: String,
    /// Only tasks that you submitted
    #[arg(long)]
    mine: bool,
    /// Only tasks accepted in this time or since then: 2h, 3d or 2026-12-01T00:00:00Z
    #[arg(long, value_name = "DURATION|TIME", value_parser = since)]
    since: Option<Since>,
    /// List the newest tasks, then new and changed tasks, until Ctrl-C
    #[arg(long, short, conflicts_with = "limit")]
    watch: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `graywave show`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave show latest
  graywave show 0192f3c45e6b7a8c9d0e1f2a3b4c5d6e -o json | jq .waves")]
pub struct ShowArgs {
    #[command(flatten)]
    task: TaskArgs,
}

pub(super) async fn ls(arguments: LsArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let filter = ListTasksRequest {
        statuses: arguments.status,
        mine: arguments.mine,
        reason: arguments.reason,
        ticket: arguments.ticket,
        create_time_from: arguments.since.and_then(|since| since.time(SystemTime::now())),
        ..ListTasksRequest::default()
    };
    if arguments.watch {
        return task_watch::watch(&session, &mut console, filter).await;
    }
    pages(&mut console, &arguments.paging, "no matching tasks", async |page_size, page_token| {
        let request = ListTasksRequest { page_size, page_token, ..filter.clone() };
        let page = session.tasks().list_tasks(request).await;
        let page = page.map_err(|status| Error::of("cannot list tasks", &status))?.into_inner();
        Ok((page.tasks, page.next_page_token))
    })
    .await
}

pub(super) async fn show(arguments: ShowArgs) -> Result<(), Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    print(&mut console, &client::get_task(&session, &task_id).await?)
}

/// Prints the current state of a task.
pub(super) fn print(console: &mut Console, task: &Task) -> Result<(), Error> {
    console.show(task, &task.task_id, |palette, wide| text(task, palette, wide))
}

impl ListItem for Task {
    const COLUMNS: &'static [Column] = &[
        Column::id("task"),
        Column::text("status"),
        Column::number("desktops"),
        Column::text("wave"),
        Column::text("created"),
        Column::text("by").wide(),
        Column::text("runs").wide(),
        Column::text("reason").wide(),
        Column::text("why").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        let status = word::<TaskStatus>(self.status);
        vec![
            cell(&self.task_id),
            Cell::word(status),
            cell(self.target_count),
            cell(place(self)),
            cell(time(self.create_time.as_ref())),
            cell(&self.created_by),
            cell(runs(self)),
            cell(if self.reason.is_empty() { &self.waiting_for } else { &self.reason }),
            cell(justification(&self.submit_reason, &self.ticket)),
        ]
    }

    fn id(&self) -> &str {
        &self.task_id
    }
}

/// Formats the progress of a task: the last opened wave and the number of waves, like `2/5`.
fn place(task: &Task) -> String {
    let begun = task.waves.iter().rev().find(|wave| wave.status() != WaveStatus::Pending);
    format!("{}/{}", begun.map_or(0, |wave| wave.wave), task.waves.len())
}

/// Formats the values of the parameters of all scripts: `ring=a, level=3`.
fn parameters(task: &Task) -> String {
    let values: BTreeSet<(&String, &String)> = task.scripts.iter().flat_map(|it| &it.parameters).collect();
    let values: Vec<String> = values.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    sanitize_line(&values.join(", "))
}

/// Formats a task as text. `wide` adds the settings of the task, and more columns of its waves.
fn text(task: &Task, palette: Palette, wide: bool) -> String {
    let status = word::<TaskStatus>(task.status);
    let chosen = match (task.desktop_pool_id.as_str(), task.desktop_tag.as_str()) {
        ("", "") => String::new(),
        ("", tag) => format!(", all with {tag}"),
        (pool, _) => format!(", of pool {pool}"),
    };
    let retry = task
        .retry_of
        .as_ref()
        .map_or_else(String::new, |it| format!("of {}, attempt {}", it.task_id, task.attempt));
    let ended = match between(task.create_time.as_ref(), task.end_time.as_ref()) {
        none if none.is_empty() => String::new(),
        took => format!("{}, after {took}", time(task.end_time.as_ref())),
    };
    let halts_at = match task.fail_threshold.as_str() {
        "" => String::new(),
        threshold => format!("{threshold} failed desktops of all waves"),
    };
    let at_once = task.max_concurrency.map_or_else(String::new, |most| format!("at most {most} desktops"));
    let mut shown = vec![
        fact("task", &task.task_id),
        painted("status", palette.word(status)),
        painted("reason", palette.paint(tone(status), &sanitize_line(&task.reason))),
        fact("waits for", &task.waiting_for),
        fact("runs", runs(task).lines().next().unwrap_or_default()),
        fact("on", format!("{}{chosen}", many(task.target_count, "desktop"))),
        fact("targets", task_totals::text(task)),
        fact("halts at", halts_at),
        fact("concurrency", at_once),
        fact("run as", &task.run_as_user),
        fact("parameters", parameters(task)),
        fact("retry", retry),
        fact("retried by", task.retried_by.join(", ")),
        fact("created", format!("{} by {}", time(task.create_time.as_ref()), task.created_by)),
        fact("why", justification(&task.submit_reason, &task.ticket)),
        fact("ended", ended),
    ];
    if wide {
        shown.extend(terms(task));
    }
    let mut text = facts(&shown)
        + "\n"
        + &table(WAVES, task.waves.iter().map(|wave| wave_cells(wave, task.status())), wide, palette);
    if !wide {
        text.push_str(&verdicts(task));
    }
    text
}

/// Formats the latest verdicts of the gate as lines, because a narrow terminal has no room for a
/// column.
fn verdicts(task: &Task) -> String {
    let spoken: Vec<&Wave> = task.waves.iter().filter(|wave| !wave.verdict.is_empty()).collect();
    let earlier = spoken.len().saturating_sub(VERDICTS);
    let mut lines: Vec<String> = Vec::new();
    if earlier > 0 {
        lines.push(format!("{earlier} earlier verdicts: -o wide"));
    }
    let last = spoken.iter().skip(earlier);
    lines.extend(last.map(|wave| format!("gate of wave {}: {}", wave.wave, sanitize_line(&wave.verdict))));
    if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join("\n")) }
}

/// Maximum number of verdicts shown without `-o wide`.
const VERDICTS: usize = 3;

/// Lists the settings of a task: hashes, seed, times and weights.
fn terms(task: &Task) -> Vec<Fact> {
    let duration =
        |it: Option<&prost_types::Duration>| it.map_or_else(String::new, |it| format!("{}s", it.seconds));
    vec![
        fact("plan", &task.plan_hash),
        fact("scripts", &task.script_hash),
        fact("seed", task.seed.to_string()),
        fact("strict", if task.strict { "yes" } else { "" }),
        fact("timeout", duration(task.execution_timeout.as_ref())),
        fact("delivery", duration(task.delivery_timeout.as_ref())),
        fact("window", &task.window),
        fact("expires", time(task.expire_time.as_ref())),
        fact("outcomes", pairs(&task.outcomes)),
        fact("exit codes", pairs(&task.exit_codes)),
        fact("cleanup", if task.cleanup() == Cleanup::Kill { "kill" } else { "" }),
        fact("post finish", post_finish(task.post_finish())),
        fact("agent version", &task.agent_version),
    ]
}

const fn post_finish(action: PostFinish) -> &'static str {
    match action {
        PostFinish::Stop => "stop",
        PostFinish::Reboot => "reboot",
        PostFinish::Unspecified => "",
    }
}

const WAVES: &[Column] = &[
    Column::number("wave"),
    Column::text("status"),
    Column::number("size"),
    Column::number("ok"),
    Column::number("failed"),
    Column::number("running"),
    Column::number("offline"),
    Column::number("skipped"),
    Column::number("halts at"),
    Column::text("opened").wide(),
    Column::text("closed").wide(),
    Column::text("approved by").wide(),
    Column::text("gate").wide(),
];

fn wave_cells(wave: &Wave, status: TaskStatus) -> Vec<Cell> {
    let approved = match (wave.hold(), wave.approved_by.as_str()) {
        (WaveHold::NoEvidence, _) => "no evidence",
        (WaveHold::Approval, _) => "not yet",
        (WaveHold::Unspecified, by) => by,
    };
    let skipped = task_totals::skipped(wave, status);
    // A wave of an ended task stays PENDING, but its targets are skipped.
    let state = match wave.status() {
        WaveStatus::Pending if skipped > 0 => "SKIPPED",
        _ => word::<WaveStatus>(wave.status),
    };
    vec![
        cell(wave.wave),
        Cell::word(state),
        cell(wave.size),
        cell(wave.targets.unwrap_or_default().success),
        cell(wave.failed),
        cell(wave.in_flight),
        cell(wave.waiting),
        cell(skipped),
        cell(&wave.fail_threshold),
        cell(time(wave.open_time.as_ref())),
        cell(time(wave.close_time.as_ref())),
        cell(approved),
        cell(&wave.verdict),
    ]
}

#[cfg(test)]
mod tests {
    use proto::{
        Word as _,
        admin::{Outcomes, ScriptRevision},
    };

    use super::*;

    fn halted() -> Task {
        let wave = |wave, status: &str, verdict: &str, [success, failed]: [u32; 2]| Wave {
            wave,
            status: WaveStatus::number(status),
            size: 4,
            targets: Some(Outcomes { success, failed, ..Outcomes::default() }),
            failed,
            fail_threshold: if wave == 1 { "2".into() } else { String::new() },
            verdict: verdict.into(),
            ..Wave::default()
        };
        Task {
            task_id: "0".repeat(32),
            status: TaskStatus::number("HALTED"),
            target_count: 20,
            desktop_tag: "pool=finance".into(),
            created_by: "ann".into(),
            create_time: Some(prost_types::Timestamp { seconds: 1_764_000_000, nanos: 0 }),
            end_time: Some(prost_types::Timestamp { seconds: 1_764_000_065, nanos: 0 }),
            scripts: vec![ScriptRevision {
                script_id: "s".into(),
                revision: 3,
                name: "patch".into(),
                ..ScriptRevision::default()
            }],
            waves: vec![wave(1, "HALTED", "2 of 4 targets failed", [2, 2]), wave(2, "PENDING", "", [0, 0])],
            reason: "2 of 4 targets failed".into(),
            ..Task::default()
        }
    }

    #[test]
    fn a_halted_task_says_why() {
        insta::assert_snapshot!("a_halted_task", text(&halted(), Palette::default(), false));
        insta::assert_snapshot!("a_halted_task_wide", text(&halted(), Palette::default(), true));
    }

    #[test]
    fn a_status_is_one_of_the_words() {
        use clap::Parser as _;

        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            ls: LsArgs,
        }
        let statuses = |line: &str| {
            let parsed = Line::try_parse_from(["ls", "--status", line]);
            parsed.map(|line| line.ls.status).map_err(|error| error.to_string())
        };
        let numbers = ["HALTED", "RUNNING"].map(TaskStatus::number).to_vec();
        assert_eq!(statuses("halted,RUNNING"), Ok(numbers));
        assert!(statuses("nice").unwrap_err().contains("possible values: WAITING, RUNNING"));
        assert!(statuses("unspecified").is_err() && statuses("").is_err());
    }
}
