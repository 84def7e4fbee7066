//! Server-sent events of a project: one stream for everything that a client shows.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use axum::{
    Extension,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{CACHE_CONTROL, HeaderMap as Headers},
    },
    response::{
        IntoResponse as _, Response,
        sse::{Event, Sse},
    },
};
use control::{ByeReason, ProjectPoll, ProjectUpdate, ProjectWatch, StreamFilter, StreamKind};
use domain::{
    Error, Reason,
    ids::TaskId,
    limits::{STREAM_BEATS_EVERY, STREAM_LASTS, STREAM_RETRY_MS},
    map::MapChange,
    stream_position::StreamPosition,
};
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::{events::NativeEvent, summary::TaskSummary, time};
use crate::{
    dto::Project,
    error::ApiError,
    extract::{Authorized, Parameters, query},
};

/// Ends the streams when the server stops.
#[derive(Debug, Clone)]
pub(crate) struct StreamStop(pub(crate) CancellationToken);

/// Selection of a stream's updates.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Kinds of updates: `task`, `event`, `map`, `desktops`, repeated or separated by commas;
    /// default all.
    types: Vec<String>,
    /// Only states and events of these tasks; at most 100.
    task_id: Vec<String>,
    /// Maps to follow, as `TASK_ID:VERSION` with the `X-Graywave-Map-Version` of the map, or as
    /// `TASK_ID`; at most 8.
    map: Vec<String>,
    /// Id of the last group received, for a client that cannot send the header `Last-Event-ID`.
    last_event_id: Option<String>,
}

impl StreamQuery {
    fn filter(&self) -> Result<StreamFilter, Error> {
        let words = self.types.iter().flat_map(|list| list.split(',')).map(str::trim);
        let kinds = StreamKind::parse_all(words.filter(|word| !word.is_empty()))?;
        let ids = query::texts(self.task_id.clone());
        let ids = ids.iter().map(|id| TaskId::find(id)).collect::<Result<Vec<_>, _>>()?;
        let maps = query::texts(self.map.clone());
        let maps = maps.iter().map(|map| StreamFilter::parse_map(map));
        let maps = maps.collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(StreamFilter { kinds, task_ids: (!ids.is_empty()).then_some(ids), maps })
    }
}

/// A frame of a project's event stream, described for the OpenAPI document.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "axum writes the frame; this type documents it")]
pub(crate) struct ProjectFrame {
    /// `hello`, `task`, `event`, `map`, `desktops`, `heartbeat`, `reset` or `bye`.
    event: String,
    /// Position to resume after; only in the last frame of a group.
    id: Option<String>,
    /// JSON: a `TaskSummary` of `task`, a `ProjectEvent` of `event`, a `MapDelta` of `map`, a
    /// `ConnectedDesktops` of `desktops`, a `StreamNotice` of the others.
    data: FrameData,
}

/// Data of a frame, as JSON text.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "axum writes the data; this type documents it")]
pub(crate) enum FrameData {
    /// The text as sent.
    Text(String),
    Task(Box<TaskSummary>),
    Event(ProjectEvent),
    Map(MapDelta),
    Desktops(ConnectedDesktops),
    Notice(StreamNotice),
}

/// An event of a task of the project. A client drops an event whose id it has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectEvent {
    task_id: String,
    #[serde(flatten)]
    event: NativeEvent,
}

/// Change of a task's map.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MapDelta {
    task_id: String,
    /// Version of the map with the change. A client ignores a change that is not newer than its
    /// map.
    version: i64,
    /// Present and `true` if the client has to read the map again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    reset: bool,
    /// The latest code of each changed target; absent with `reset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<MapRuns>>,
}

/// Targets with one code.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MapRuns {
    /// Code as in the map.
    code: u8,
    /// First and last ordinal of each run, ascending.
    #[schema(value_type = Vec<Vec<u32>>)]
    ranges: Vec<(u32, u32)>,
}

/// Number of connected desktops.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectedDesktops {
    connected: i64,
}

/// Notice about the stream itself. Only the fields of its event are present.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct StreamNotice {
    /// Time of `hello` and `heartbeat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    time: Option<String>,
    /// Interval of the heartbeats, in `hello`.
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat_seconds: Option<u64>,
    /// POSITION_EXPIRED, TOO_MANY_CHANGES or DATABASE_RESTORED of `reset`; SERVER_STOPPING or
    /// STREAM_LIMIT of `bye`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl MapDelta {
    fn new(task_id: TaskId, version: i64, change: &MapChange) -> Self {
        let runs =
            || change.by_code().into_iter().map(|(code, ranges)| MapRuns { code: code.byte(), ranges });
        Self {
            task_id: task_id.to_string(),
            version,
            reset: change.is_reset(),
            changes: (!change.is_reset()).then(|| runs().collect()),
        }
    }
}

/// Watch the project: states and events of tasks, changes of maps, and connected desktops.
///
/// One stream is enough for a browser, which opens few connections to a server. A group of frames
/// ends with a frame that has an id; after a reconnect with `Last-Event-ID`, the stream goes on
/// behind that group. After `reset`, load lists and maps again. The stream ends with `bye` after
/// ten minutes, or when the server stops.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/events", operation_id = "WatchProject", tag = "native",
    params(
        Project, StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Id of the last group received."),
    ),
    responses(
        (status = 200, description = "Server-sent events.", body = ProjectFrame, content_type = "text/event-stream"),
    ),
)]
pub(crate) async fn watch(
    Authorized { control, caller }: Authorized,
    Extension(StreamStop(stop)): Extension<StreamStop>,
    Parameters(query): Parameters<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let position = position(&headers, query.last_event_id.as_deref())?;
    let watch = control.watch_project(&caller, query.filter()?, position).await?;
    let retry = Duration::from_millis(rand::random_range(STREAM_RETRY_MS));
    let hello = StreamNotice {
        time: Some(time(control.now())),
        heartbeat_seconds: Some(STREAM_BEATS_EVERY.as_secs()),
        reason: None,
    };
    let first = frame("hello", &hello).map(|frame| frame.retry(retry));
    let state = StreamState { watch, stop, retry, until: Instant::now() + STREAM_LASTS };
    let groups = stream::unfold(Some(state), next_group);
    let frames = futures::StreamExt::flat_map(groups, stream::iter);
    let all = futures::StreamExt::chain(stream::iter(first), frames);
    let all = futures::StreamExt::map(all, Ok::<_, Infallible>);
    let mut response = Sse::new(all).into_response();
    unbuffered(response.headers_mut());
    Ok(response)
}

/// Keeps proxies from storing or collecting the frames.
fn unbuffered(headers: &mut Headers) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

fn position(headers: &HeaderMap, query: Option<&str>) -> Result<Option<StreamPosition>, Error> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let Some(text) = header.or(query).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|()| {
        let message = "not an id of this stream; send the id of the last frame that had one, or none";
        Error::field(Reason::PageTokenInvalid, "Last-Event-ID", message)
    })
}

/// State of a stream.
struct StreamState {
    watch: ProjectWatch,
    stop: CancellationToken,
    retry: Duration,
    until: Instant,
}

/// Waits for the next group of frames. An error ends the stream; the client reconnects with its
/// last position.
async fn next_group(state: Option<StreamState>) -> Option<(Vec<Event>, Option<StreamState>)> {
    let mut state = state?;
    let next = tokio::select! {
        biased;
        () = state.stop.cancelled() => return Some((state.bye(ByeReason::ServerStopping), None)),
        () = tokio::time::sleep_until(state.until) => return Some((state.bye(ByeReason::StreamLimit), None)),
        next = state.watch.next() => next,
    };
    match next {
        Ok(poll) => Some((group(poll), Some(state))),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "event stream ended by an error");
            None
        }
    }
}

impl StreamState {
    fn bye(&self, reason: ByeReason) -> Vec<Event> {
        let notice = StreamNotice { reason: Some(reason.as_str()), ..StreamNotice::default() };
        frame("bye", &notice).map(|frame| frame.retry(self.retry)).into_iter().collect()
    }
}

/// Formats the updates of a poll. The last frame carries the position.
fn group(poll: ProjectPoll) -> Vec<Event> {
    let mut frames: Vec<Event> = poll.updates.into_iter().filter_map(update).collect();
    if let Some(last) = frames.pop() {
        frames.push(last.id(poll.position.to_string()));
    }
    frames
}

fn update(update: ProjectUpdate) -> Option<Event> {
    let notice = StreamNotice::default();
    match update {
        ProjectUpdate::Task(task) => frame("task", &TaskSummary::from(*task)),
        ProjectUpdate::Event(task_id, row) => {
            frame("event", &ProjectEvent { task_id: task_id.to_string(), event: row.into() })
        }
        ProjectUpdate::Map { task_id, version, change } => {
            frame("map", &MapDelta::new(task_id, version, &change))
        }
        ProjectUpdate::Desktops(connected) => frame("desktops", &ConnectedDesktops { connected }),
        ProjectUpdate::Heartbeat(at) => frame("heartbeat", &StreamNotice { time: Some(time(at)), ..notice }),
        ProjectUpdate::Reset(reason) => {
            frame("reset", &StreamNotice { reason: Some(reason.as_str()), ..notice })
        }
    }
}

/// Formats a frame; `None` if its data cannot be written, which no data of this module cause.
fn frame(name: &str, data: &impl Serialize) -> Option<Event> {
    Event::default().event(name).json_data(data).ok()
}

#[cfg(test)]
mod tests {
    use domain::{map::MapCode, outcome::Outcome};

    use super::*;

    #[test]
    fn change_of_a_map_has_the_published_form() {
        let id = "0190000000007000800000000000000a";
        let task_id = TaskId::find(id).unwrap();
        let codes = (0..10).map(|ordinal| (ordinal, MapCode::Ended(Outcome::Success)));
        let change = MapChange::of_targets(
            codes.chain([(12, MapCode::Ended(Outcome::Success)), (10, MapCode::InFlight)]),
        );
        let delta = serde_json::to_string(&MapDelta::new(task_id, 57, &change)).unwrap();
        assert_eq!(
            delta,
            format!(
                r#"{{"task_id":"{id}","version":57,"changes":[{{"code":2,"ranges":[[10,10]]}},{{"code":16,"ranges":[[0,9],[12,12]]}}]}}"#
            )
        );
        let reset = serde_json::to_string(&MapDelta::new(task_id, 60, &MapChange::reset())).unwrap();
        assert_eq!(reset, format!(r#"{{"task_id":"{id}","version":60,"reset":true}}"#));
    }

    #[test]
    fn position_comes_from_the_header_before_the_query() {
        let headers = |text: &str| {
            HeaderMap::from_iter([(
                HeaderName::from_static("last-event-id"),
                HeaderValue::from_str(text).unwrap(),
            )])
        };
        let text = "1.0.3:5:.";
        let found = position(&headers(text), Some("nonsense")).unwrap().unwrap();
        assert_eq!(found.to_string(), text);
        assert_eq!(position(&HeaderMap::new(), Some(text)).unwrap().unwrap().to_string(), text);
        assert_eq!(position(&headers(""), None).unwrap(), None);
        assert_eq!(position(&HeaderMap::new(), None).unwrap(), None);
        assert!(position(&headers("12"), None).is_err());
    }

    #[test]
    fn kinds_are_repeated_or_separated_by_commas() {
        let query =
            StreamQuery { types: vec!["task, map".to_owned(), "event".to_owned()], ..StreamQuery::default() };
        assert_eq!(query.filter().unwrap().kinds.len(), 3);
        let query = StreamQuery { types: vec!["tasks".to_owned()], ..StreamQuery::default() };
        assert!(query.filter().is_err());
    }
}
