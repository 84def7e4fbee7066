//! Output of records while their scripts run.

use domain::{
    Error, Reason, Timestamp,
    authz::{Action, Resource},
    limits::{
        LAST_OUTPUT_WITHIN, MAX_OUTPUT_WATCHES_PER_CALLER, MAX_OUTPUT_WATCHES_PER_PROJECT, OUTPUT_WATCH_LASTS,
    },
    live_output::{self, Chunk, OutputState, Part},
    record::{RecordId, RecordStatus},
};
use store::{
    Connection,
    live_output::{self as rows, Feed, Watch},
    record::RecordRow,
};

use crate::{Caller, Control, lookup};

/// Maximum number of chunks that one read returns, of at most 64 KiB each.
const CHUNKS: i64 = 16;

/// A part of the output of a record, and the state of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRead {
    /// State of the output after this part.
    pub state: OutputState,
    /// The part; it may be empty.
    pub part: Part,
}

impl Control {
    /// Reads the output of a record from an offset on: what is known now. While the script runs,
    /// this asks its desktop for output for the next 20 seconds.
    ///
    /// # Errors
    ///
    /// `OutputWatchLimit` if the caller or its project reads too many running scripts.
    pub async fn read_output(
        &self,
        caller: &Caller,
        record_id: RecordId,
        from_offset: u64,
    ) -> Result<OutputRead, Error> {
        caller.check(Action::GetRecordDetail, [Resource::Task(&record_id.task_id.to_string())])?;
        let (now, project_id) = (self.environment.now(), caller.project_id());
        let (record, expires_at) = self
            .read_many(project_id, async |connection| {
                let record = lookup::record(connection, caller, record_id).await?;
                let principal = &caller.identity.principal;
                Ok((record, rows::watch_expiry(connection, record_id, principal).await?))
            })
            .await?;
        if record.status == RecordStatus::Waiting {
            return Ok(OutputRead { state: OutputState::Waiting, part: Part::empty(from_offset) });
        }
        let is_new = expires_at.is_none_or(|expires_at| expires_at <= now);
        if is_new {
            // A caller that follows the output has one entry, and not one for each read.
            let resource = format!("record:{record_id}");
            let mut connection = self.store.acquire().await?;
            self.note_read(&mut connection, caller, Action::GetRecordDetail, &resource, 1).await?;
        }
        if record.status != RecordStatus::Running {
            return self
                .read_many(project_id, async |connection| {
                    of_ended(connection, &record, from_offset, now).await
                })
                .await;
        }
        if expires_at.is_none_or(|expires_at| expires_at < now + OUTPUT_WATCH_LASTS / 2) {
            self.watch_output(caller, &record, from_offset, is_new, now).await?;
        }
        let (feed, chunks) = self
            .read_many(project_id, async |connection| read_received(connection, record_id, from_offset).await)
            .await?;
        let end_offset = feed.and_then(|feed| feed.end_offset);
        let state = feed.map_or(OutputState::Requested, |feed| feed.state);
        Ok(OutputRead { state, part: live_output::part(from_offset, &chunks, end_offset) })
    }

    /// Begins or prolongs a watch.
    async fn watch_output(
        &self,
        caller: &Caller,
        record: &RecordRow,
        from_offset: u64,
        is_new: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (project_id, principal) = (caller.project_id(), &caller.identity.principal);
        let mut tx = self.store.begin().await?;
        if is_new {
            let (of_project, of_caller) = rows::count_watches(&mut tx, project_id, principal, now).await?;
            check_watches(of_project, of_caller)?;
        }
        let watch = Watch {
            record_id: record.record_id,
            project_id,
            desktop_id: &record.desktop_id,
            principal,
            from_offset,
            expires_at: now + OUTPUT_WATCH_LASTS,
        };
        rows::watch(&mut tx, &watch).await?;
        Ok(self.store.commit(tx).await?)
    }
}

/// Checks that one more running script may be watched.
fn check_watches(of_project: i64, of_caller: i64) -> Result<(), Error> {
    let (what, most) = if of_caller >= MAX_OUTPUT_WATCHES_PER_CALLER {
        ("you read", MAX_OUTPUT_WATCHES_PER_CALLER)
    } else if of_project >= MAX_OUTPUT_WATCHES_PER_PROJECT {
        ("the callers of the project read", MAX_OUTPUT_WATCHES_PER_PROJECT)
    } else {
        return Ok(());
    };
    let message = format!(
        "{what} the output of {most} running scripts, the limit: read fewer, or read it after their end"
    );
    Err(Error::new(Reason::OutputWatchLimit, message))
}

/// Reads the feed of a script, and its parts from an offset on.
async fn read_received(
    connection: &mut Connection,
    record_id: RecordId,
    from_offset: u64,
) -> Result<(Option<Feed>, Vec<Chunk>), Error> {
    let feed = rows::feed(connection, record_id).await?;
    if feed.is_none_or(|feed| feed.received_until <= from_offset) {
        return Ok((feed, Vec::new()));
    }
    Ok((feed, rows::chunks(connection, record_id, from_offset, CHUNKS).await?))
}

async fn of_ended(
    connection: &mut Connection,
    record: &RecordRow,
    from_offset: u64,
    now: Timestamp,
) -> Result<OutputRead, Error> {
    let (feed, chunks) = read_received(connection, record.record_id, from_offset).await?;
    let end_offset = feed.and_then(|feed| feed.end_offset);
    let is_fresh = record.ended_at.is_some_and(|ended_at| now < ended_at + LAST_OUTPUT_WITHIN);
    let may_grow = feed.is_some() && is_fresh;
    let (state, part) =
        live_output::part_of_ended(from_offset, &chunks, end_offset, &record.output, may_grow);
    Ok(OutputRead { state, part })
}
