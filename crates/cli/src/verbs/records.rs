//! `graywave records`.

use clap::Args;
use clap_complete::ArgValueCompleter;
use proto::{
    admin::{ListRecordsRequest, Outcome, Record, RecordFilter, RecordStatus},
    word,
};

use super::{Common, streamed::Records};
use crate::{
    Failure, complete,
    out::{Cell, Column, Format, List, Listed, Paging, cell, pages},
    spec::one_of,
    task_argument::TaskNamed,
    told::{between, time},
};

/// Which records.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave records latest --status FAILED
  graywave records latest --wave 1 -o wide
  graywave records latest --with-output -o json > results.json")]
pub struct RecordsArguments {
    #[command(flatten)]
    task: TaskNamed,
    /// Only with this status
    #[arg(long, value_name = "STATUS", value_parser = one_of::<RecordStatus>(), ignore_case = true)]
    status: Option<i32>,
    /// Only of this wave, from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    wave: Option<u32>,
    /// Only on these desktops
    #[arg(long, short, value_name = "ID", value_delimiter = ',', add = ArgValueCompleter::new(complete::desktops))]
    desktop: Vec<String>,
    /// With what they printed, for -o json and yaml
    #[arg(long)]
    with_output: bool,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn records(arguments: RecordsArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    let filter = RecordFilter {
        status: arguments.status.unwrap_or_default(),
        desktop_ids: arguments.desktop,
        wave: arguments.wave.unwrap_or_default(),
    };
    let failed = |status| Failure::of(&format!("cannot list the records of task {task_id}"), &status);
    if arguments.with_output {
        if matches!(console.format, Format::Table | Format::Wide | Format::Name) {
            console.say(
                "what they printed is in -o json and yaml alone; graywave logs DESKTOP prints that of one",
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

const NONE: &str = "there are no such records";

impl Listed for Record {
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
            cell(&self.reason),
        ]
    }

    fn id(&self) -> &str {
        &self.record_id
    }
}
