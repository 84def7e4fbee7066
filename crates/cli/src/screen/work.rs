//! What the screen has done in the background, so that it never waits for anybody.

use proto::admin::{FailureGroup, ListFailuresRequest};

use super::command::{Command, Done};
use crate::{Failure, changes, connect::Session, found};

/// Groups of failures that are shown.
const GROUPS: i32 = 50;

/// Does what a key asks for. Each call has the deadline of its connection.
pub(super) async fn perform(session: &Session, task_id: &str, command: Command) -> Vec<Done> {
    let outcome = match command {
        Command::Failures => failures(session, task_id).await.map(|it| vec![Done::Failures(it)]),
        Command::Task => found::task(session, task_id).await.map(|it| vec![Done::Task(Box::new(it))]),
        change => changed(session, task_id, change).await,
    };
    outcome.unwrap_or_else(|failure| vec![Done::Refused(words(&failure))])
}

/// The first line says what failed and why.
fn words(failure: &Failure) -> String {
    failure.to_string().lines().next().unwrap_or_default().to_owned()
}

async fn changed(session: &Session, task_id: &str, change: Command) -> Result<Vec<Done>, Failure> {
    let (said, task) = match change {
        Command::Pause => ("paused: what runs goes on".to_owned(), changes::pause(session, task_id).await?),
        Command::Resume => ("it goes on".to_owned(), changes::resume(session, task_id).await?),
        Command::Stop(mode) => ("stopped".to_owned(), changes::stop(session, task_id, mode).await?),
        Command::Approve => {
            let (wave, task) = changes::approve(session, task_id, None).await?;
            (format!("wave {wave} is approved"), task)
        }
        Command::Leave | Command::Failures | Command::Task => return Ok(Vec::new()),
    };
    Ok(vec![Done::Task(Box::new(task)), Done::Said(said)])
}

async fn failures(session: &Session, task_id: &str) -> Result<Vec<FailureGroup>, Failure> {
    let request = ListFailuresRequest {
        task_id: task_id.to_owned(),
        page_size: GROUPS,
        ..ListFailuresRequest::default()
    };
    let answer = session.insight().list_failures(request).await;
    Ok(answer.map_err(|status| Failure::of("cannot list the failures", &status))?.into_inner().groups)
}
