//! Output of running scripts that callers watch.

use domain::{
    Timestamp,
    ids::{DesktopId, ProjectId, WorkerId},
    limits::{LIVE_OUTPUT_KEPT, MAX_OUTPUT_WATCHES_PER_WORKER},
    live_output::{self, Chunk},
    record::RecordId,
};
use store::{
    Error,
    live_output::{self as rows, Watched},
};

use crate::Scheduler;

/// A desktop's answer to a request for output.
#[derive(Debug)]
pub struct OutputPart {
    /// Record of the script.
    pub record_id: RecordId,
    /// Desktop of the connection that delivered the answer.
    pub desktop: (ProjectId, DesktopId),
    /// The answer.
    pub answer: Answer,
}

/// Content of an answer.
#[derive(Debug)]
pub enum Answer {
    /// The agent is too old for live output.
    Unsupported,
    /// A part of the output.
    Output {
        /// The part.
        chunk: Chunk,
        /// Whether nothing follows.
        is_last: bool,
    },
}

impl Scheduler {
    /// Watched scripts of the desktops that are connected to a worker.
    pub async fn watched_outputs(&self, worker_id: &WorkerId, now: Timestamp) -> Result<Vec<Watched>, Error> {
        let limit = i64::from(MAX_OUTPUT_WATCHES_PER_WORKER);
        rows::of_worker(&mut *self.store.acquire().await?, worker_id, now, limit).await
    }

    /// Stores parts that continue the output of a watched script, each in a transaction of its own.
    /// Drops all others. Returns the number of stored bytes.
    pub async fn add_outputs(&self, parts: Vec<OutputPart>) -> Result<u64, Error> {
        let mut stored = 0;
        for part in parts {
            stored += self.add_output(part).await?;
        }
        Ok(stored)
    }

    async fn add_output(&self, OutputPart { record_id, desktop, answer }: OutputPart) -> Result<u64, Error> {
        let desktop = (&desktop.0, &desktop.1);
        let mut tx = self.store.begin().await?;
        let stored = match answer {
            Answer::Unsupported => {
                rows::set_unsupported(&mut tx, record_id, desktop).await?;
                0
            }
            Answer::Output { chunk, is_last } => {
                let received_until = rows::lock(&mut tx, record_id, desktop).await?;
                if !received_until.is_some_and(|until| live_output::continues(until, &chunk)) {
                    return Ok(0);
                }
                rows::add(&mut tx, record_id, &chunk, is_last).await?;
                chunk.content.len() as u64
            }
        };
        self.store.commit(tx).await?;
        Ok(stored)
    }

    /// Deletes expired watches, and output that was last watched some time ago.
    pub async fn sweep_outputs(&self, now: Timestamp) -> Result<(), Error> {
        rows::sweep(&mut *self.store.acquire().await?, now, now - LIVE_OUTPUT_KEPT).await
    }
}
