//! Stream of a task's records with their output, over as many connections as needed.

use std::time::Duration;

use proto::admin::{Record, RecordFilter, StreamRecordsRequest, StreamRecordsResponse};
use tonic::{Status, Streaming};

use crate::{client::Session, error::helps_later};

/// Maximum number of reconnects without a record between them, and the pause before each.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Records in the order of the plan, each exactly once. A stream ends after some minutes, or with
/// its server. The next stream continues after the last record.
pub(super) struct Records {
    session: Session,
    request: StreamRecordsRequest,
    stream: Option<Streaming<StreamRecordsResponse>>,
    /// Reconnects since the last record.
    tries: u32,
}

impl Records {
    pub(super) fn new(session: &Session, task_id: &str, filter: RecordFilter) -> Self {
        let (task_id, filter) = (task_id.to_owned(), Some(filter));
        let request = StreamRecordsRequest { task_id, filter, ..StreamRecordsRequest::default() };
        Self { session: session.clone(), request, stream: None, tries: 0 }
    }

    /// Returns the next record; `None` after the last one.
    ///
    /// # Errors
    ///
    /// The call is refused, or all reconnects fail.
    pub(super) async fn next(&mut self) -> Result<Option<Record>, Status> {
        loop {
            match self.step().await {
                Err(status) if helps_later(&status) && self.tries < TRIES => {
                    self.stream = None;
                    self.tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
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
