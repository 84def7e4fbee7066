//! The event stream of a project.

use std::collections::VecDeque;

use control::{ProjectPoll, ProjectUpdate, ProjectWatch, StreamFilter, StreamKind};
use domain::{Error, Reason, ids::TaskId, map::MapChange, stream_position::StreamPosition};
use futures::stream;
use proto::{
    admin::{
        ConnectedDesktops, MapRun, ProjectEvent, StreamReset, WatchProjectRequest, WatchProjectResponse,
        watch_project_response::Update,
    },
    time,
};
use tonic::{Request, Status};

use crate::{
    Service,
    convert::task,
    status::failed,
    streams::{Lifetime, ResponseStream},
};

/// Opens the event stream of a project.
pub(super) async fn watch(
    service: &Service,
    request: Request<WatchProjectRequest>,
) -> Result<ResponseStream<WatchProjectResponse>, Status> {
    // The watch holds the places of the stream.
    let (life, caller, message) = Lifetime::without_place(service, request)?;
    let (filter, position) = read(&message).map_err(failed)?;
    let watch = service.control.watch_project(&caller, filter, position).await.map_err(failed)?;
    let state = WatchState { watch, life, waiting: VecDeque::new() };
    Ok(Box::pin(stream::unfold(Some(state), next)))
}

fn read(message: &WatchProjectRequest) -> Result<(StreamFilter, Option<StreamPosition>), Error> {
    let ids = message.task_ids.iter().map(|id| TaskId::find(id)).collect::<Result<Vec<_>, _>>()?;
    let filter = StreamFilter {
        kinds: StreamKind::parse_all(message.types.iter().map(String::as_str))?,
        task_ids: (!ids.is_empty()).then_some(ids),
        maps: message.maps.iter().map(|map| StreamFilter::parse_map(map)).collect::<Result<_, _>>()?,
    };
    if message.position.is_empty() {
        return Ok((filter, None));
    }
    let position = message.position.parse().map_err(|()| {
        let message = "not a position of this stream; send the last one that you received, or none";
        Error::field(Reason::PageTokenInvalid, "position", message)
    })?;
    Ok((filter, Some(position)))
}

/// State of an event stream.
struct WatchState {
    watch: ProjectWatch,
    life: Lifetime,
    waiting: VecDeque<WatchProjectResponse>,
}

/// Waits for the next message.
async fn next(
    state: Option<WatchState>,
) -> Option<(Result<WatchProjectResponse, Status>, Option<WatchState>)> {
    let mut state = state?;
    loop {
        if let Some(message) = state.waiting.pop_front() {
            return Some((Ok(message), Some(state)));
        }
        let poll = match state.life.unless_over(state.watch.next()).await {
            Ok(Ok(poll)) => poll,
            Ok(Err(error)) => return Some((Err(failed(error)), None)),
            Err(status) => return Some((Err(status), None)),
        };
        state.waiting = messages(poll);
    }
}

/// Converts the updates of a poll. The last message has the position.
fn messages(poll: ProjectPoll) -> VecDeque<WatchProjectResponse> {
    let message = |update| WatchProjectResponse { position: String::new(), update: Some(update) };
    let mut messages: VecDeque<_> = poll.updates.into_iter().filter_map(convert).map(message).collect();
    if let Some(last) = messages.back_mut() {
        last.position = poll.position.to_string();
    }
    messages
}

fn convert(update: ProjectUpdate) -> Option<Update> {
    Some(match update {
        ProjectUpdate::Task(progress) => Update::Task(task::task(*progress)),
        ProjectUpdate::Event(task_id, row) => {
            Update::Event(ProjectEvent { task_id: task_id.to_string(), event: Some(task::event(row)) })
        }
        ProjectUpdate::Map { task_id, version, change } => Update::Map(map(task_id, version, &change)),
        ProjectUpdate::Desktops(connected) => Update::Desktops(ConnectedDesktops { connected }),
        ProjectUpdate::Heartbeat(at) => Update::Heartbeat(time(Some(at))?),
        ProjectUpdate::Reset(reason) => Update::Reset(StreamReset { reason: reason.as_str().to_owned() }),
    })
}

fn map(task_id: TaskId, version: i64, change: &MapChange) -> proto::admin::MapChange {
    let run =
        |run: &domain::map::MapRun| MapRun { first: run.first, last: run.last, code: run.code.byte().into() };
    proto::admin::MapChange {
        task_id: task_id.to_string(),
        version,
        reset: change.is_reset(),
        runs: change.runs().iter().map(run).collect(),
    }
}
