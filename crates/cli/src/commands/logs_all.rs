//! `graywave logs --all` and `graywave logs --follow`.

use std::collections::BTreeSet;

use proto::admin::{Record, RecordFilter};

use super::{record_stream::Records, run_output};
use crate::{
    Error, ExitStatus,
    client::Session,
    follow::interrupted,
    live::{LiveOutput, MAX_DESKTOPS},
    output::{Console, Format, List},
    sanitize::sanitize_line,
};

/// Prints the output of all records of a task, as it is received: a task may have a million.
/// `parts` gives the head lines and outputs of a record.
pub(super) async fn all(
    session: &Session,
    console: &mut Console,
    task_id: &str,
    parts: impl Fn(&Record) -> Vec<(String, String)>,
) -> Result<(), Error> {
    let failed = |status| Error::of(&format!("cannot read the records of task {task_id}"), &status);
    let mut records = Records::new(session, task_id, RecordFilter::default());
    if !matches!(console.format, Format::Table | Format::Wide) {
        let mut list = List::new(console);
        while let Some(record) = records.next().await.map_err(failed)? {
            list.add(std::slice::from_ref(&record))?;
        }
        return list.end("no records");
    }
    console.paged();
    while let Some(record) = records.next().await.map_err(failed)? {
        let desktop_id = sanitize_line(&record.desktop_id);
        for (head, text) in parts(&record) {
            // The head of a record begins with two hyphens.
            let head = format!("-- {desktop_id}: {}", head.strip_prefix("-- ").unwrap_or(&head));
            console.print(&format!("{}\n{text}", console.out.bold(&head)))?;
        }
    }
    console.finish()
}

/// Follows the output of a task on one desktop, or on all of few desktops. Returns `None` if the
/// desktop is not in the task.
pub(super) async fn follow(
    session: &Session,
    console: &Console,
    task_id: &str,
    desktop_id: Option<&str>,
    is_raw: bool,
) -> Result<Option<ExitStatus>, Error> {
    if !matches!(console.format, Format::Table | Format::Wide) {
        return Err(Error::misused("--follow prints the output itself: remove --output"));
    }
    let mut records = run_output::records(session, task_id, desktop_id).await?;
    if records.is_empty() {
        return Ok(None);
    }
    records.truncate(1_000);
    let desktops: BTreeSet<u32> = records.iter().map(|record| record.ordinal).collect();
    if desktops.len() > MAX_DESKTOPS {
        return Err(Error::misused(format!(
            "the task has more than {MAX_DESKTOPS} desktops, the limit of --follow"
        ))
        .try_next(format!("graywave logs DESKTOP --follow --task {task_id}"))
        .try_next(format!("graywave logs --all --task {task_id}: all outputs, after the end")));
    }
    let mut live = LiveOutput::new(session, task_id, &records, is_raw);
    let followed = live.follow(console);
    tokio::select! {
        followed = followed => followed.map(|()| Some(ExitStatus::Success)),
        heard = interrupted() => heard.map(|()| Some(ExitStatus::Detached)),
    }
}
