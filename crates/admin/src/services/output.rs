//! Streams of the output of records.

use std::collections::VecDeque;

use control::{Caller, Control, OutputRead};
use domain::{
    Error, FieldPath, Reason,
    limits::{MAX_OUTPUT_REPORT_BYTES, MAX_OUTPUTS_PER_STREAM, OUTPUT_LOOKS_EVERY},
    live_output::{OutputState, check_offset},
    record::RecordId,
};
use futures::stream;
use proto::{
    Word as _,
    admin::{self, OutputPosition, StreamOutputRequest, StreamOutputResponse},
};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use tonic::{Request, Status};

use crate::{
    Service,
    status::failed,
    streams::{Lifetime, ResponseStream},
};

/// Opens a stream. Fails the call before the stream starts if a record of the first look does not
/// exist.
pub(super) async fn stream(
    service: &Service,
    request: Request<StreamOutputRequest>,
) -> Result<ResponseStream<StreamOutputResponse>, Status> {
    let (life, caller, message) = Lifetime::begin(service, request)?;
    let place = service.control.open_output_stream(&caller).map_err(failed)?;
    let records = positions(message.positions).map_err(failed)?;
    let mut follower = Follower {
        control: service.control.clone(),
        caller,
        records,
        waiting: VecDeque::new(),
        has_more: false,
        life,
        _place: place,
    };
    follower.look().await?;
    Ok(Box::pin(stream::unfold(Some(follower), next)))
}

fn positions(given: Vec<OutputPosition>) -> Result<VecDeque<Followed>, Error> {
    if given.is_empty() || given.len() > MAX_OUTPUTS_PER_STREAM {
        let message = format!("{} entries are out of range: 1 to {MAX_OUTPUTS_PER_STREAM}", given.len());
        return Err(Error::out_of_range("positions", message));
    }
    let followed = |(index, position): (usize, OutputPosition)| {
        let place = |error: Error| error.within(FieldPath::from("positions").index(index));
        let record_id =
            position.record_id.parse().map_err(|error: Error| place(error.within("record_id")))?;
        check_offset("from_offset", position.from_offset).map_err(place)?;
        Ok(Followed { record_id, from_offset: position.from_offset, state: None })
    };
    given.into_iter().enumerate().map(followed).collect()
}

/// A record of the stream.
struct Followed {
    record_id: RecordId,
    from_offset: u64,
    /// State that was sent last.
    state: Option<OutputState>,
}

/// Position of a stream.
struct Follower {
    control: Control,
    caller: Caller,
    /// Records whose output has not ended. The next look begins with the first one.
    records: VecDeque<Followed>,
    waiting: VecDeque<StreamOutputResponse>,
    /// Whether the last look ended because enough output waited.
    has_more: bool,
    life: Lifetime,
    _place: OwnedSemaphorePermit,
}

/// Returns the next message. Looks for new output only when the client has read the last one.
async fn next(
    follower: Option<Follower>,
) -> Option<(Result<StreamOutputResponse, Status>, Option<Follower>)> {
    let mut follower = follower?;
    loop {
        if let Some(message) = follower.waiting.pop_front() {
            return Some((Ok(message), Some(follower)));
        }
        if follower.records.is_empty() {
            return None;
        }
        if let Err(status) = follower.look_later().await {
            return Some((Err(status), None));
        }
    }
}

impl Follower {
    async fn look_later(&mut self) -> Result<(), Status> {
        if !self.has_more {
            self.life.unless_over(sleep(OUTPUT_LOOKS_EVERY)).await?;
        }
        self.look().await
    }

    /// Reads what is new of each record, until about 1 MiB waits for the client.
    async fn look(&mut self) -> Result<(), Status> {
        let mut bytes = 0;
        for _ in 0..self.records.len() {
            if bytes >= MAX_OUTPUT_REPORT_BYTES {
                break;
            }
            let Some(mut followed) = self.records.pop_front() else { break };
            if let Some(news) = self.read(&mut followed).await? {
                bytes += news.output.len();
                self.waiting.push_back(news);
            }
            if followed.state != Some(OutputState::Ended) {
                self.records.push_back(followed);
            }
        }
        self.has_more = bytes >= MAX_OUTPUT_REPORT_BYTES;
        Ok(())
    }

    /// Reads what is new of a record; `None` if nothing is.
    async fn read(&self, followed: &mut Followed) -> Result<Option<StreamOutputResponse>, Status> {
        let read = self.control.read_output(&self.caller, followed.record_id, followed.from_offset);
        let OutputRead { state, part } = match self.life.unless_over(read).await? {
            // Lists use the project's share at the moment. The next look reads the record again.
            Err(error) if error.reason == Reason::ProjectShareExceeded && followed.state.is_some() => {
                return Ok(None);
            }
            read => read.map_err(failed)?,
        };
        let is_news = followed.state != Some(state) || !part.text.is_empty();
        (followed.state, followed.from_offset) = (Some(state), part.next_offset);
        Ok(is_news.then(|| StreamOutputResponse {
            record_id: followed.record_id.to_string(),
            state: admin::OutputState::number(state.as_str()),
            offset: part.offset,
            output: part.text,
            next_offset: part.next_offset,
            is_incomplete: part.is_incomplete,
        }))
    }
}
