//! The record service: lists, shows and streams records with their output.

use std::collections::VecDeque;

use control::{Caller, Control, RecordRow};
use domain::{Error, Reason, cursor, ids::TaskId, limits::RECORDS_PER_LOOK, record::RecordId};
use futures::stream;
use proto::admin::{
    GetRecordRequest, GetRecordResponse, ListRecordsRequest, ListRecordsResponse, StreamOutputRequest,
    StreamOutputResponse, StreamRecordsRequest, StreamRecordsResponse, record_service_server::RecordService,
};
use tonic::{Request, Response, Status};

use super::output;
use crate::{
    Service,
    convert::record::{filter, place, record},
    extract::extract,
    page,
    status::{failed, within},
    streams::{Lifetime, ResponseStream},
};

#[tonic::async_trait]
impl RecordService for Service {
    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let (caller, message) = extract(request)?;
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
        let (caller, message) = extract(request)?;
        let record_id: RecordId = message.record_id.parse().map_err(failed)?;
        let row = self.control.show_record(&caller, record_id).await.map_err(failed)?;
        Ok(Response::new(GetRecordResponse { record: Some(record(row)) }))
    }

    type StreamRecordsStream = ResponseStream<StreamRecordsResponse>;

    async fn stream_records(
        &self,
        request: Request<StreamRecordsRequest>,
    ) -> Result<Response<Self::StreamRecordsStream>, Status> {
        let (life, caller, message) = Lifetime::begin(self, request)?;
        let after = cursor::token(Some(&message.cursor)).map_err(|_| {
            let message = "invalid cursor; send the cursor of the last message, or none";
            failed(Error::field(Reason::PageTokenInvalid, "cursor", message))
        })?;
        let filter = filter(message.filter, after).map_err(within("filter"))?;
        let filter = control::RecordFilter { with_output: true, ..filter };
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
        // Fails the call before the stream starts if the task does not exist.
        reader.read().await?;
        let (control, caller) = (&reader.control, &reader.caller);
        control.note_outputs(caller, task_id, reader.rows.len()).await.map_err(failed)?;
        Ok(Response::new(Box::pin(stream::unfold(Some(reader), next))))
    }

    type StreamOutputStream = ResponseStream<StreamOutputResponse>;

    async fn stream_output(
        &self,
        request: Request<StreamOutputRequest>,
    ) -> Result<Response<Self::StreamOutputStream>, Status> {
        output::stream(self, request).await.map(Response::new)
    }
}

/// Position of a record stream.
struct Reader {
    control: Control,
    caller: Caller,
    task_id: TaskId,
    filter: control::RecordFilter,
    rows: VecDeque<RecordRow>,
    /// Whether `rows` ends the stream.
    is_last: bool,
    life: Lifetime,
}

/// Returns the next record. Reads a page from the database only when the client has consumed the
/// previous one.
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
            self.control.stream_records(&self.caller, self.task_id, self.filter.clone(), RECORDS_PER_LOOK);
        let found = self.life.unless_over(page).await?.map_err(failed)?;
        self.is_last = i64::try_from(found.len()).unwrap_or(i64::MAX) < RECORDS_PER_LOOK;
        if let Some(last) = found.last() {
            self.filter.after = Some((last.record_id.ordinal, last.record_id.script));
        }
        self.rows.extend(found);
        Ok(())
    }
}
