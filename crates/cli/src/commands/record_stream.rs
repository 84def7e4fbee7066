//! The records of a task with what they printed, over as many connections as it takes.

use std::time::Duration;

use proto::admin::{Record, RecordFilter, StreamRecordsRequest, StreamRecordsResponse};
use tonic::{Status, Streaming};

use crate::{client::Session, error::helps_later};

/// How often it is tried to go on before that is given up, and the time between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Records in the order of the plan, each once. A stream ends after some minutes, and with its
/// server: another one goes on behind the last record.
pub(super) struct Records {
    session: Session,
    request: StreamRecordsRequest,
    stream: Option<Streaming<StreamRecordsResponse>>,
    /// Since the last record.
    tries: u32,
}

impl Records {
    pub(super) fn new(session: &Session, task_id: &str, filter: RecordFilter) -> Self {
        let (task_id, filter) = (task_id.to_owned(), Some(filter));
        let request = StreamRecordsRequest { task_id, filter, ..StreamRecordsRequest::default() };
        Self { session: session.clone(), request, stream: None, tries: 0 }
    }

    /// The next one; none behind the last.
    ///
    /// # Errors
    ///
    /// The call is refused, or nobody goes on with it.
    pub(super) async fn next(&mut self) -> Result<Option<Record>, Status> {
        loop {
            match self.step().await {
                Err(status) if helps_later(&status) && self.tries < TRIES => {
                    self.stream = None;
                    self.tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                told => return told,
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Record>, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let answer = self.session.records().stream_records(self.request.clone()).await?;
                none.insert(answer.into_inner())
            }
        };
        let Some(message) = stream.message().await? else { return Ok(None) };
        self.tries = 0;
        self.request.cursor = message.cursor;
        Ok(message.record)
    }
}
