//! `graywave records`.

use clap::Args;
use clap_complete::ArgValueCompleter;
use domain::limits::MAX_WAVE_NUMBER;
use proto::{
    admin::{ListRecordsRequest, Outcome, Record, RecordFilter, RecordStatus},
    word,
};

use super::{TaskArgs, record_stream::Records};
use crate::{
    Error,
    args::one_of,
    completion,
    format::{between, time},
    number::number,
    output::{Cell, Column, Format, List, ListItem, Paging, cell, pages},
};

/// Arguments of `graywave records`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave records latest --status FAILED
  graywave records latest --wave 1 -o wide
  graywave records latest --with-output -o json > results.json")]
pub struct RecordsArgs {
    #[command(flatten)]
    task: TaskArgs,
    /// Only records with this status
    #[arg(long, value_name = "STATUS", value_parser = one_of::<RecordStatus>(), ignore_case = true)]
    status: Option<i32>,
    /// Only records of this wave; waves count from 1
    #[arg(long, value_name = "N", value_parser = number(1, u32::from(MAX_WAVE_NUMBER), 2))]
    wave: Option<u32>,
    /// Only records of these desktops; repeat or separate by commas
    #[arg(long, short, value_name = "ID", value_delimiter = ',', add = ArgValueCompleter::new(completion::desktops))]
    desktop: Vec<String>,
    /// Include the scripts' output (with -o json or yaml)
    #[arg(long)]
    with_output: bool,
    #[command(flatten)]
    paging: Paging,
}

pub(super) async fn records(arguments: RecordsArgs) -> Result<(), Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    let filter = RecordFilter {
        status: arguments.status.unwrap_or_default(),
        desktop_ids: arguments.desktop,
        wave: arguments.wave.unwrap_or_default(),
    };
    let failed = |status| Error::of(&format!("cannot list the records of task {task_id}"), &status);
    if arguments.with_output {
        if matches!(console.format, Format::Table | Format::Wide | Format::Name) {
            console.say(
                "--with-output has no effect on tables and names\n  try: -o json, or graywave logs DESKTOP",
            );
        }
        let mut records = Records::new(&session, &task_id, filter);
        let mut left = arguments.paging.limit.unwrap_or(u32::MAX);
        let mut list = List::new(&mut console);
        while left > 0
            && let Some(record) = records.next().await.map_err(failed)?
        {
            list.add(std::slice::from_ref(&record))?;
            left -= 1;
        }
        return list.end(NONE);
    }
    pages(&mut console, &arguments.paging, NONE, async |page_size, page_token| {
        let request = ListRecordsRequest {
            task_id: task_id.clone(),
            page_size,
            page_token,
            filter: Some(filter.clone()),
        };
        let page = session.records().list_records(request).await.map_err(failed)?.into_inner();
        Ok((page.records, page.next_page_token))
    })
    .await
}

const NONE: &str = "no matching records";

impl ListItem for Record {
    const COLUMNS: &'static [Column] = &[
        Column::text("desktop"),
        Column::number("wave"),
        Column::text("script"),
        Column::text("status"),
        Column::text("outcome"),
        Column::number("exit"),
        Column::text("took"),
        Column::text("record").wide(),
        Column::text("started").wide(),
        Column::number("attempt").wide(),
        Column::text("interpreter").wide(),
        Column::number("left").wide(),
        Column::text("late").wide(),
        Column::text("reason").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(&self.desktop_id),
            cell(self.wave),
            cell(&self.script_name),
            Cell::word(word::<RecordStatus>(self.status)),
            Cell::word(word::<Outcome>(self.outcome)),
            cell(self.exit_code.map_or_else(String::new, |code| code.to_string())),
            cell(between(self.start_time.as_ref(), self.end_time.as_ref())),
            cell(&self.record_id),
            cell(time(self.start_time.as_ref())),
            cell(self.attempt),
            cell(&self.interpreter),
            cell(if self.left_processes_count == 0 {
                String::new()
            } else {
                self.left_processes_count.to_string()
            }),
            Cell::word(self.late_result.as_ref().map_or("", |late| word::<Outcome>(late.outcome))),
            cell(&self.reason),
        ]
    }

    fn id(&self) -> &str {
        &self.record_id
    }
}
