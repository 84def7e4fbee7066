//! Records: listed, shown, and told one after the other with what they printed.

use std::collections::VecDeque;

use control::{Caller, Control, RecordRow};
use domain::{
    Error, Reason, cursor,
    ids::TaskId,
    limits::{RECORDS_PER_LOOK, wave_number},
    record::RecordId,
};
use futures::stream;
use proto::{
    Word as _,
    admin::{
        GetRecordRequest, GetRecordResponse, ListRecordsRequest, ListRecordsResponse, Outcome, Record,
        RecordFilter, RecordStatus, StreamRecordsRequest, StreamRecordsResponse,
        record_service_server::RecordService,
    },
    time,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    called::called,
    page::{self, Place},
    status::{failed, within},
    streams::{Life, Told},
    values,
};

fn record(row: RecordRow) -> Record {
    Record {
        record_id: row.record_id.to_string(),
        task_id: row.record_id.task_id.to_string(),
        ordinal: row.record_id.ordinal,
        script: row.record_id.script.into(),
        attempt: row.record_id.attempt.into(),
        wave: row.wave.into(),
        status: RecordStatus::number(row.status.status_and_result_code().0),
        outcome: row.outcome().map_or(0, |outcome| Outcome::number(outcome.as_str())),
        reason: row.shown_reason().unwrap_or_default().to_owned(),
        desktop_id: row.desktop_id,
        computer_name: row.computer_name,
        script_id: values::text(row.script_id.map(|id| id.to_string())),
        script_name: row.script_name,
        exit_code: row.exit_code,
        start_time: time(row.started_at),
        end_time: time(row.ended_at),
        output: row.output,
    }
}

/// Its place in the task.
fn place(record: &Record) -> String {
    // A number of ours that the message has in more bits.
    Place(record.ordinal, u16::try_from(record.script).unwrap_or(u16::MAX)).to_string()
}

/// What of a task is asked for, from behind a place on.
fn filter(given: Option<RecordFilter>, after: Option<Place>) -> Result<control::RecordFilter, Error> {
    let given = given.unwrap_or_default();
    Ok(control::RecordFilter {
        status: values::word::<RecordStatus>("status", given.status)?.map(str::to_owned),
        desktop_ids: values::filters("desktop_ids", given.desktop_ids)?,
        wave: (given.wave > 0).then(|| wave_number(given.wave)).transpose()?,
        after: after.map(|Place(ordinal, script)| (ordinal, script)),
        ..control::RecordFilter::default()
    })
}

#[tonic::async_trait]
impl RecordService for Service {
    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let (caller, message) = called(request)?;
        let (size, after) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let filter = filter(message.filter, after).map_err(within("filter"))?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let found = self.control.page_records(&caller, task_id, filter, size).await.map_err(failed)?;
        let (records, next_page_token) = page::of(found.into_iter().map(record), size, place);
        Ok(Response::new(ListRecordsResponse { records, next_page_token }))
    }

    async fn get_record(
        &self,
        request: Request<GetRecordRequest>,
    ) -> Result<Response<GetRecordResponse>, Status> {
        let (caller, message) = called(request)?;
        let record_id: RecordId = message.record_id.parse().map_err(failed)?;
        let row = self.control.show_record(&caller, record_id).await.map_err(failed)?;
        Ok(Response::new(GetRecordResponse { record: Some(record(row)) }))
    }

    type StreamRecordsStream = Told<StreamRecordsResponse>;

    async fn stream_records(
        &self,
        request: Request<StreamRecordsRequest>,
    ) -> Result<Response<Self::StreamRecordsStream>, Status> {
        let life = Life::begin(self, &request)?;
        let (caller, message) = called(request)?;
        let after = cursor::token(Some(&message.cursor)).map_err(|_| {
            let message = "not a cursor of this stream: use the one of the last message, or none";
            failed(Error::field(Reason::PageTokenInvalid, "cursor", message))
        })?;
        let filter = filter(message.filter, after).map_err(within("filter"))?;
        let task_id = TaskId::find(&message.task_id).map_err(failed)?;
        let mut reader = Reader {
            control: self.control.clone(),
            caller,
            task_id,
            filter,
            rows: VecDeque::new(),
            is_last: false,
            life,
        };
        // The caller is told at once if there is no such task.
        reader.read().await?;
        Ok(Response::new(Box::pin(stream::unfold(Some(reader), next))))
    }
}

/// A stream's place.
struct Reader {
    control: Control,
    caller: Caller,
    task_id: TaskId,
    filter: control::RecordFilter,
    rows: VecDeque<RecordRow>,
    /// What is in `rows` is the end.
    is_last: bool,
    life: Life,
}

/// The next record. They are read as fast as they are taken.
async fn next(reader: Option<Reader>) -> Option<(Result<StreamRecordsResponse, Status>, Option<Reader>)> {
    let mut reader = reader?;
    loop {
        if let Some(row) = reader.rows.pop_front() {
            let record = record(row);
            let cursor = cursor::after(place(&record));
            return Some((Ok(StreamRecordsResponse { cursor, record: Some(record) }), Some(reader)));
        }
        if reader.is_last {
            return None;
        }
        if let Err(status) = reader.read().await {
            return Some((Err(status), None));
        }
    }
}

impl Reader {
    async fn read(&mut self) -> Result<(), Status> {
        let page =
            self.control.page_outputs(&self.caller, self.task_id, self.filter.clone(), RECORDS_PER_LOOK);
        let found = self.life.unless_over(page).await?.map_err(failed)?;
        self.is_last = i64::try_from(found.len()).unwrap_or(i64::MAX) < RECORDS_PER_LOOK;
        if let Some(last) = found.last() {
            self.filter.after = Some((last.record_id.ordinal, last.record_id.script));
        }
        self.rows.extend(found);
        Ok(())
    }
}
