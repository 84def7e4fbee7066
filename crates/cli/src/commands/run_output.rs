//! `graywave run` on few desktops: prints the output of the scripts as it comes.

use std::time::Duration;

use proto::admin::{ListRecordsRequest, Record, RecordFilter, Task};
use tokio::time::timeout;

use crate::{
    Error, ExitStatus,
    client::{Session, repeated},
    follow::{follow, follow_beside_output},
    live::{LiveOutput, MAX_DESKTOPS},
    output::{Console, Format},
};

/// Time after the end of a task in which its last output may arrive.
const LAST_OUTPUT_WITHIN: Duration = Duration::from_secs(15);
/// Maximum number of records of a task: those of 10 desktops with 100 scripts.
const RECORDS: i32 = 1_000;

/// Reports whether a task's output is printed while it runs. Formats for programs have the result
/// alone.
pub(super) fn is_shown(console: &Console, task: &Task) -> bool {
    let is_for_people = matches!(console.format, Format::Table | Format::Wide) && !console.quiet;
    is_for_people && (1..=MAX_DESKTOPS).contains(&usize::try_from(task.target_count).unwrap_or(usize::MAX))
}

/// Follows a task to its end, and prints its output meanwhile.
pub(super) async fn follow_with_output(
    session: &Session,
    console: &Console,
    task_id: &str,
) -> Result<ExitStatus, Error> {
    // Without the right to list records, the rollout is followed as always.
    match records(session, task_id, None).await {
        Ok(records) => with_output(session, console, task_id, &records).await,
        Err(_) => follow(session, console, task_id).await,
    }
}

/// Reads the first records of a task, or of one of its desktops, in the order of the plan.
pub(super) async fn records(
    session: &Session,
    task_id: &str,
    desktop_id: Option<&str>,
) -> Result<Vec<Record>, Error> {
    let desktop_ids = desktop_id.into_iter().map(str::to_owned).collect();
    let request = ListRecordsRequest {
        task_id: task_id.to_owned(),
        page_size: RECORDS,
        filter: Some(RecordFilter { desktop_ids, ..RecordFilter::default() }),
        ..ListRecordsRequest::default()
    };
    let answer = repeated(async || session.records().list_records(request.clone()).await).await;
    let answer =
        answer.map_err(|status| Error::of(&format!("cannot list the records of task {task_id}"), &status))?;
    Ok(answer.into_inner().records)
}

async fn with_output(
    session: &Session,
    console: &Console,
    task_id: &str,
    records: &[Record],
) -> Result<ExitStatus, Error> {
    let mut live = LiveOutput::new(session, task_id, records, false);
    let mut output = Box::pin(live.follow(console));
    let mut rollout = Box::pin(follow_beside_output(session, console, task_id));
    let ended = tokio::select! {
        ended = &mut rollout => ended?,
        shown = &mut output => {
            report(console, shown);
            return rollout.await;
        }
    };
    if ended != ExitStatus::Detached {
        match timeout(LAST_OUTPUT_WITHIN, output).await {
            Ok(shown) => report(console, shown),
            Err(_) => console
                .say(&format!("the last output did not arrive\n  see: graywave logs --all --task {task_id}")),
        }
    }
    Ok(ended)
}

/// Prints why no output is shown. That does not change the result of the rollout.
fn report(console: &Console, shown: Result<(), Error>) {
    if let Err(error) = shown
        && !error.is_silent()
    {
        console.say(&error.to_string());
    }
}
