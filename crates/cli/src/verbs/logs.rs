//! `graywave logs`.

use clap::Args;
use clap_complete::ArgValueCompleter;
use proto::{
    admin::{Outcome, Record, RecordFilter, RecordStatus},
    word,
};

use super::{Common, streamed::Records};
use crate::{
    Failure, complete,
    connect::Session,
    found,
    out::{Format, List, harmless, harmless_line},
};

/// Tasks that are looked through for a desktop, the newest first.
const TASKS: i32 = 50;

/// Whose output.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave logs desktop-0007                 of the newest task that it is in
  graywave logs desktop-0007 --task latest
What a script printed is there once it has ended; of long output the beginning and the end are kept.")]
pub struct LogsArguments {
    /// The desktop
    #[arg(value_name = "DESKTOP", add = ArgValueCompleter::new(complete::desktops))]
    desktop_id: String,
    /// Of this task, instead of the newest one that the desktop is in; `latest` is the newest of all
    #[arg(long, value_name = "TASK", add = ArgValueCompleter::new(complete::tasks))]
    task: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn logs(arguments: LogsArguments) -> Result<(), Failure> {
    let LogsArguments { desktop_id, task, common } = arguments;
    let (session, mut console) = common.open().await?;
    let candidates = match task.as_deref() {
        Some(found::LATEST) => {
            found::newest(&session, 1).await?.into_iter().map(|task| task.task_id).collect()
        }
        Some(id) => vec![id.to_owned()],
        None => found::newest(&session, TASKS).await?.into_iter().map(|task| task.task_id).collect(),
    };
    for task_id in &candidates {
        let records = of(&session, task_id, &desktop_id).await?;
        if records.is_empty() {
            continue;
        }
        if !matches!(console.format, Format::Table | Format::Wide) {
            let mut list = List::new(&mut console);
            list.add(&records)?;
            return list.end("");
        }
        console.paged();
        for record in &records {
            let head = head(record, task_id);
            // A pager that has the terminal shows it with the rest.
            if console.is_paged() {
                console.print(&format!("{}\n", console.out.bold(&head)))?;
            } else {
                console.say(&console.err.bold(&head));
            }
            console.print(&output(record))?;
        }
        return console.finish();
    }
    let within = match task {
        Some(task) => format!("not in task {task}"),
        None => format!("in no task; the newest {} were looked through", candidates.len()),
    };
    Err(Failure::refused(format!("desktop {desktop_id} is {within}"))
        .try_next("graywave desktops: is this its id?")
        .try_next(format!("graywave logs {desktop_id} --task TASK")))
}

async fn of(session: &Session, task_id: &str, desktop_id: &str) -> Result<Vec<Record>, Failure> {
    let failed = |status| Failure::of(&format!("cannot read the records of task {task_id}"), &status);
    let filter = RecordFilter { desktop_ids: vec![desktop_id.to_owned()], ..RecordFilter::default() };
    let mut stream = Records::new(session, task_id, filter);
    let mut records = Vec::new();
    while let Some(record) = stream.next().await.map_err(failed)? {
        records.push(record);
    }
    Ok(records)
}

/// What stands over an output.
fn head(record: &Record, task_id: &str) -> String {
    let script = match record.script_name.as_str() {
        "" => "the command".to_owned(),
        name => harmless_line(name),
    };
    let how = match word::<Outcome>(record.outcome) {
        "" => word::<RecordStatus>(record.status),
        outcome => outcome,
    };
    let exit = record.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
    // That of an exit code says nothing more.
    let is_said = record.reason.is_empty() || record.exit_code.is_some();
    let reason = if is_said { String::new() } else { format!(": {}", harmless_line(&record.reason)) };
    format!("-- {script} of task {task_id}, wave {}: {how}{exit}{reason}", record.wave)
}

/// What it printed, ending with a line's end.
fn output(record: &Record) -> String {
    let text = harmless(&record.output);
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}
