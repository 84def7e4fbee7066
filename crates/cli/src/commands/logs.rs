//! `graywave logs`.

use std::io::IsTerminal as _;

use clap::Args;
use clap_complete::ArgValueCompleter;
use domain::{
    output::plain,
    process::{LeftProcess, left_sentence},
};
use proto::{
    admin::{LateResult, Outcome, Record, RecordFilter, RecordStatus},
    word,
};

use super::{CommonArgs, logs_all, record_stream::Records};
use crate::{
    Error, ExitStatus,
    client::{self, Session},
    completion::{self, LATEST},
    format::time,
    output::{Format, List},
    sanitize::{sanitize, sanitize_line},
    task_arg::{AuthorArg, task_id},
};

/// Number of newest tasks that are searched for a desktop.
const TASKS: i32 = 50;

/// Arguments of `graywave logs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave logs desktop-0007                  the newest task of the desktop
  graywave logs desktop-0007 --task latest
  graywave logs desktop-0007 -f               as it comes
  graywave logs --all --task latest           all desktops of a task
  graywave logs desktop-0007 --raw > output.txt
Of long output, the beginning and the end are kept. Most programs write to a pipe in blocks: see
`stdbuf -oL` and `python3 -u` in docs/scripts.md.")]
pub struct LogsArgs {
    /// Desktop id
    #[arg(value_name = "DESKTOP", required_unless_present = "all", conflicts_with = "all",
          add = ArgValueCompleter::new(completion::desktops))]
    desktop_id: Option<String>,
    /// Print the output of all desktops of the task [default task: your newest]
    #[arg(long)]
    all: bool,
    /// Print the output as it comes, until the scripts have ended (at most 10 desktops)
    #[arg(long, short)]
    follow: bool,
    /// Task to read, by id or `latest` [default: the newest task of the desktop]
    #[arg(long, value_name = "TASK", add = ArgValueCompleter::new(completion::tasks))]
    task: Option<String>,
    #[command(flatten)]
    author: AuthorArg,
    /// Print overwritten progress and escape sequences too; a terminal never gets control
    /// characters
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn logs(arguments: LogsArgs) -> Result<ExitStatus, Error> {
    let LogsArgs { desktop_id, all, follow, task, author, raw, common } = arguments;
    let form = Form { is_raw: raw, is_terminal: std::io::stdout().is_terminal() };
    let (session, mut console) = common.open().await?;
    let candidates = match task.as_deref() {
        Some(text) => vec![task_id(&session, text, author).await?],
        None if all => vec![task_id(&session, LATEST, author).await?],
        None => client::newest_tasks(&session, TASKS).await?.into_iter().map(|task| task.task_id).collect(),
    };
    let Some(desktop_id) = desktop_id else {
        let task_id = candidates.first().ok_or_else(|| Error::refused("the project has no task"))?;
        return match follow {
            true => {
                let followed = logs_all::follow(&session, &console, task_id, None, raw).await?;
                Ok(followed.unwrap_or(ExitStatus::Success))
            }
            false => {
                let parts = |record: &Record| parts(record, task_id, form);
                logs_all::all(&session, &mut console, task_id, parts).await.map(|()| ExitStatus::Success)
            }
        };
    };
    for task_id in &candidates {
        if follow {
            if let Some(ended) = logs_all::follow(&session, &console, task_id, Some(&desktop_id), raw).await?
            {
                return Ok(ended);
            }
            continue;
        }
        let records = of(&session, task_id, &desktop_id).await?;
        if records.is_empty() {
            continue;
        }
        if !matches!(console.format, Format::Table | Format::Wide) {
            let mut list = List::new(&mut console);
            list.add(&records)?;
            return list.end("").map(|()| ExitStatus::Success);
        }
        console.paged();
        for (head, output) in records.iter().flat_map(|record| parts(record, task_id, form)) {
            // With a pager, nothing else may write to the terminal.
            if console.is_paged() {
                console.print(&format!("{}\n", console.out.bold(&head)))?;
            } else {
                console.say(&console.err.bold(&head));
            }
            console.print(&output)?;
        }
        return console.finish().map(|()| ExitStatus::Success);
    }
    let within = match task {
        Some(task) => format!("not in task {task}"),
        None => format!("not in the newest {} tasks", candidates.len()),
    };
    Err(Error::refused(format!("desktop {desktop_id} is {within}"))
        .try_next("graywave desktops: lists the desktops")
        .try_next(format!("graywave logs {desktop_id} --task TASK")))
}

async fn of(session: &Session, task_id: &str, desktop_id: &str) -> Result<Vec<Record>, Error> {
    let failed = |status| Error::of(&format!("cannot read the records of task {task_id}"), &status);
    let filter = RecordFilter { desktop_ids: vec![desktop_id.to_owned()], ..RecordFilter::default() };
    let mut stream = Records::new(session, task_id, filter);
    let mut records = Vec::new();
    while let Some(record) = stream.next().await.map_err(failed)? {
        records.push(record);
    }
    Ok(records)
}

/// Formats the header lines and the outputs of a record.
fn parts(record: &Record, task_id: &str, form: Form) -> Vec<(String, String)> {
    let late = record.late_result.iter().map(|late| (late_head(late), output(&late.output, form)));
    std::iter::once((head(record, task_id), output(&record.output, form))).chain(late).collect()
}

/// Formats the header line of a script's output.
fn head(record: &Record, task_id: &str) -> String {
    let script = match record.script_name.as_str() {
        "" => "the command".to_owned(),
        name => sanitize_line(name),
    };
    let how = match word::<Outcome>(record.outcome) {
        "" => word::<RecordStatus>(record.status),
        outcome => outcome,
    };
    let exit = record.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
    let signal = record.signal.map_or_else(String::new, |number| format!(" (signal {number})"));
    // The reason of an exit code only repeats the code.
    let is_said = record.reason.is_empty() || record.exit_code.is_some();
    let reason = if is_said { String::new() } else { format!(": {}", sanitize_line(&record.reason)) };
    let left = left(record).map_or_else(String::new, |text| format!("\n-- {text}"));
    format!("-- {script} of task {task_id}, wave {}: {how}{exit}{signal}{reason}{left}", record.wave)
}

/// Describes the processes that outlived the script; `None` without any.
fn left(record: &Record) -> Option<String> {
    let named = record.left_processes.iter().map(|process| LeftProcess {
        pid: process.pid,
        command: process.command.clone(),
        user: process.user.clone(),
        survived_kill: process.survived_kill,
    });
    let text = left_sentence(&named.collect::<Vec<_>>(), record.left_processes_count)?;
    Some(sanitize_line(&text))
}

/// Form of printed output.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// Whether overwritten progress and escape sequences are kept.
    is_raw: bool,
    /// Whether a terminal shows the output.
    is_terminal: bool,
}

/// Formats the header line of a late result.
fn late_head(late: &LateResult) -> String {
    let exit = late.exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
    let outcome = word::<Outcome>(late.outcome);
    format!("-- late result, received {}: {outcome}{exit}", time(late.receive_time.as_ref()))
}

/// Returns the output of a script. Raw output for a file or a program is exact. Otherwise it has no
/// control characters, and a final line end unless it is empty.
fn output(output: &str, form: Form) -> String {
    let text = match form {
        Form { is_raw: true, is_terminal: false } => return output.to_owned(),
        Form { is_raw: true, is_terminal: true } => sanitize(output),
        Form { is_raw: false, .. } => sanitize(&plain(output)),
    };
    if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" }
}

#[cfg(test)]
mod tests {
    use proto::{Word as _, admin};

    use super::*;

    #[test]
    fn output_is_plain_unless_raw() {
        let printed = "10%\r100%\n\u{1b}[31mred\u{1b}[0m\u{7}";
        let of = |is_raw, is_terminal| output(printed, Form { is_raw, is_terminal });
        assert_eq!((of(false, false).as_str(), of(false, true).as_str()), ("100%\nred\n", "100%\nred\n"));
        assert_eq!(of(true, false), printed);
        assert_eq!(of(true, true), "10%100%\n[31mred[0m\n", "a terminal obeys nothing");
        assert_eq!(output("", Form { is_raw: false, is_terminal: false }), "");
    }

    #[test]
    fn header_names_signal_and_left_processes() {
        let process = |pid| admin::LeftProcess {
            pid,
            command: "sleep\u{1b}[2J 9".into(),
            user: "root".into(),
            survived_kill: false,
        };
        let record = Record {
            wave: 1,
            outcome: Outcome::number("FAILED"),
            exit_code: Some(137),
            signal: Some(9),
            reason: "killed by signal 9".into(),
            left_processes: vec![process(7)],
            left_processes_count: 1,
            ..Record::default()
        };
        assert_eq!(
            head(&record, "t"),
            "-- the command of task t, wave 1: FAILED, exit code 137 (signal 9)\n\
             -- left 1 process running: 7 sleep [2J 9 (root)"
        );
        let success = Record { outcome: Outcome::number("SUCCESS"), exit_code: Some(0), ..Record::default() };
        assert_eq!(head(&success, "t"), "-- the command of task t, wave 0: SUCCESS, exit code 0");
    }
}
