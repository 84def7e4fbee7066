//! Server-sent events of a task, resumable after the last event received.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use control::{EventRow, Poll, StreamPermit, TaskUpdate, Watch};
use domain::{
    Error, Reason,
    limits::{STREAM_LASTS, STREAM_LOOKS_EVERY},
};
use futures::stream;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{task::NativeWave, tasks::TaskPath, time};
use crate::{dto::Project, error::ApiError, extract::Authorized};

/// Interval of keep-alive comments on an idle stream.
const SAYS_IT_LIVES_EVERY: Duration = Duration::from_secs(15);

/// A server-sent event, described for the OpenAPI document.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "axum writes the event; this type documents it")]
pub(crate) struct ServerSentEvent {
    /// Kind of the event, or `PROGRESS`.
    event: String,
    /// Id to resume after; absent for `PROGRESS`.
    id: Option<String>,
    /// JSON of a `NativeEvent`, or of a `Progress` if `event` is `PROGRESS`.
    data: EventData,
}

/// Data of a server-sent event: the JSON text of an event of the task, or of its progress.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "axum writes the data; this type documents it")]
pub(crate) enum EventData {
    /// The text as sent.
    Text(String),
    Event(NativeEvent),
    Progress(Progress),
}

/// An event of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeEvent {
    event_id: i64,
    #[schema(format = DateTime)]
    time: String,
    /// ACCEPTED, WAVE_OPENED, WAVE_CLOSED, WAVE_WAITING, WAVE_APPROVED, HALTED, STOPPED, EXPIRED,
    /// PAUSED, RESUMED, FROZEN, UNFROZEN, CONCURRENCY_CHANGED, RETRIED, QUARANTINED, ENDED.
    kind: &'static str,
    wave: Option<u16>,
    /// Principal that caused the event; empty if the scheduler caused it.
    actor: String,
    /// Description of the event.
    detail: String,
}

impl From<EventRow> for NativeEvent {
    fn from(row: EventRow) -> Self {
        Self {
            event_id: row.event_id,
            time: time(row.at),
            kind: row.kind.as_str(),
            wave: row.wave,
            actor: row.actor,
            detail: row.detail,
        }
    }
}

/// Progress of a task. Sent as event `PROGRESS` without an id after each change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Progress {
    status: &'static str,
    waiting_for: Option<String>,
    waves: Vec<NativeWave>,
}

/// Watch a task: each event once and in order, and `PROGRESS` after each change of its counts.
///
/// The stream ends after ENDED, or after ten minutes. To resume, reconnect with the header
/// `Last-Event-ID`.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/events", operation_id = "WatchTask", tag = "native",
    params(
        Project, TaskPath,
        ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event received."),
    ),
    responses(
        (status = 200, description = "Server-sent events.", body = ServerSentEvent, content_type = "text/event-stream"),
        (status = 204, description = "The task has ended and `Last-Event-ID` is its last event. Do not reconnect."),
    ),
)]
pub(crate) async fn watch(
    Authorized { control, caller }: Authorized,
    Path(path): Path<TaskPath>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let task_id = path.id()?;
    let after = match headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default()) {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| {
            Error::field(
                Reason::PageTokenInvalid,
                "Last-Event-ID",
                "not an event id; send the id of the last event received, or omit the header",
            )
        })?,
    };
    // Report an unknown task before the stream starts.
    let Some(watch) = control.watch_task(&caller, task_id, after).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let permit = control.open_stream(caller.project_id())?;
    let state = StreamState { watch, is_first: true, until: Instant::now() + STREAM_LASTS, _permit: permit };
    let events = stream::unfold(Some(state), next_events);
    let events = futures::StreamExt::flat_map(events, |events| {
        stream::iter(events.into_iter().map(Ok::<_, Infallible>))
    });
    let keep_alive = KeepAlive::new().interval(SAYS_IT_LIVES_EVERY);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// State of a stream.
struct StreamState {
    watch: Watch,
    is_first: bool,
    until: Instant,
    _permit: StreamPermit,
}

/// Waits for the next events of the task. An error ends the stream; the client reconnects with its
/// last event id.
async fn next_events(state: Option<StreamState>) -> Option<(Vec<Event>, Option<StreamState>)> {
    let mut state = state?;
    while Instant::now() < state.until {
        if !std::mem::take(&mut state.is_first) {
            tokio::time::sleep(STREAM_LOOKS_EVERY).await;
        }
        match state.watch.look().await {
            Ok(Poll { updates, is_over }) if !updates.is_empty() || is_over => {
                return Some((updates.into_iter().filter_map(event).collect(), (!is_over).then_some(state)));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "event stream ended by an error");
                return None;
            }
        }
    }
    None
}

fn event(update: TaskUpdate) -> Option<Event> {
    let made = match update {
        TaskUpdate::Event(row) => {
            let (id, kind) = (row.event_id.to_string(), row.kind.as_str());
            Event::default().id(id).event(kind).json_data(NativeEvent::from(row))
        }
        TaskUpdate::Progress(progress) => {
            Event::default().event("PROGRESS").json_data(Progress::from(progress))
        }
    };
    made.ok()
}

impl From<control::Progress> for Progress {
    fn from(progress: control::Progress) -> Self {
        Self {
            status: progress.status.as_str(),
            waiting_for: progress.waiting_for,
            waves: progress.waves.into_iter().map(NativeWave::from).collect(),
        }
    }
}
