//! Background calls of the screen, so that the screen never blocks.

use proto::admin::{FailureGroup, ListFailuresRequest};

use super::command::{Command, CommandResult};
use crate::{
    Error,
    actions::{self, WaveToApprove},
    client::{self, Session},
    reason_flags::ReasonFlags,
};

/// Maximum number of failure groups shown.
const GROUPS: i32 = 50;

/// Runs a command. Each call has the timeout of its connection.
pub(super) async fn perform(session: &Session, task_id: &str, command: Command) -> Vec<CommandResult> {
    let outcome = match command {
        Command::Failures => failures(session, task_id).await.map(|it| vec![CommandResult::Failures(it)]),
        Command::Task => {
            client::get_task(session, task_id).await.map(|it| vec![CommandResult::Task(Box::new(it))])
        }
        change => changed(session, task_id, change).await,
    };
    outcome.unwrap_or_else(|failure| vec![CommandResult::Refused(words(&failure))])
}

/// Returns the first line of an error: what failed, and why.
fn words(failure: &Error) -> String {
    failure.to_string().lines().next().unwrap_or_default().to_owned()
}

async fn changed(session: &Session, task_id: &str, change: Command) -> Result<Vec<CommandResult>, Error> {
    let why = ReasonFlags::default();
    let (said, task) = match change {
        Command::Pause => {
            ("paused; running scripts continue".to_owned(), actions::pause(session, task_id, &why).await?)
        }
        Command::Resume => ("resumed".to_owned(), actions::resume(session, task_id, &why).await?),
        Command::Stop(mode) => ("stopped".to_owned(), actions::stop(session, task_id, mode, &why).await?),
        Command::Approve(wave) => {
            let found = WaveToApprove::read(session, task_id, Some(wave), false).await?;
            (format!("approved wave {wave}"), found.approve(session, &why).await?)
        }
        Command::Leave | Command::Failures | Command::Task => return Ok(Vec::new()),
    };
    Ok(vec![CommandResult::Task(Box::new(task)), CommandResult::Said(said)])
}

async fn failures(session: &Session, task_id: &str) -> Result<Vec<FailureGroup>, Error> {
    let request = ListFailuresRequest {
        task_id: task_id.to_owned(),
        page_size: GROUPS,
        ..ListFailuresRequest::default()
    };
    let answer = session.insight().list_failures(request).await;
    Ok(answer.map_err(|status| Error::of("cannot list the failures", &status))?.into_inner().groups)
}
