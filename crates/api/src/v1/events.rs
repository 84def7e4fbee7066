//! Events of a task, as they happen: server-sent, and resumable from the last one that arrived.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use control::{Caller, Control, EventRow, TaskProgress};
use domain::{Error, ErrorKind, event::EventKind, ids::TaskId};
use futures::stream;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use utoipa::ToSchema;

use super::{task::NativeWave, tasks::TaskPath, time};
use crate::{error::ApiError, v2::Project};

/// Streams that one process serves at once.
const MAX_STREAMS: usize = 1_000;
/// How often a stream looks.
const LOOKS_EVERY: Duration = Duration::from_millis(500);
/// Events that one look takes.
const EVENTS_PER_LOOK: i64 = 500;
/// After which a stream ends: whoever comes back is asked anew who it is.
const LASTS: Duration = Duration::from_mins(10);
/// After which an idle stream says that it is still there.
const SAYS_IT_LIVES_EVERY: Duration = Duration::from_secs(15);

static STREAMS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_STREAMS)));

/// A server-sent event, as the document describes it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "axum writes it; it is here for the document")]
pub(crate) struct ServerSentEvent {
    /// The kind of what happened, or `PROGRESS`.
    event: String,
    /// The one to resume from. `PROGRESS` has none.
    id: Option<String>,
    /// JSON: a `NativeEvent`, or a `Progress` where `event` is `PROGRESS`.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// What happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NativeEvent {
    event_id: i64,
    #[schema(format = DateTime)]
    time: String,
    /// ACCEPTED, WAVE_OPENED, WAVE_CLOSED, WAVE_WAITS, WAVE_APPROVED, HALTED, STOPPED, EXPIRED, PAUSED, RESUMED, FROZEN,
    /// UNFROZEN, CONCURRENCY_CHANGED, RETRIED, ISOLATED, ENDED.
    kind: &'static str,
    wave: Option<u16>,
    /// The principal that did it; empty for what the scheduler did.
    actor: String,
    /// In words.
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

/// How far a task has come. Sent as the event `PROGRESS`, without an id, whenever it has changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Progress {
    status: &'static str,
    waiting_for: Option<String>,
    waves: Vec<NativeWave>,
}

/// Watch a task: each event once, in order, and `PROGRESS` whenever its numbers change. Ends behind ENDED, and after ten
/// minutes: come back with the header `Last-Event-ID`, and it goes on behind that event.
#[utoipa::path(
    get, path = "/v1/projects/{project_id}/tasks/{task_id}/events", operation_id = "WatchTask", tag = "native",
    params(
        Project, TaskPath,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that arrived."),
    ),
    responses(
        (status = 200, description = "Server-sent events.", body = ServerSentEvent, content_type = "text/event-stream"),
        (status = 204, description = "The task has ended, and `Last-Event-ID` is its last event: do not come back."),
    ),
)]
pub(crate) async fn watch(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Path(path): Path<TaskPath>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let task_id = path.id()?;
    let after = match headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default()) {
        None | Some("") => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Error::invalid("Last-Event-ID is none of ours: send the id of an event, or none"))?,
    };
    // The caller is told at once if there is no such task.
    let has_more = !control.list_events(&caller, task_id, after, 1).await?.is_empty();
    if !has_more && after > 0 && control.show_task(&caller, task_id).await?.task.status.is_ended() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let permit = Arc::clone(&STREAMS).try_acquire_owned().map_err(|_| {
        Error::new(ErrorKind::Unavailable, "too many streams of events are open; try again later")
    })?;
    let watch = Watch {
        control,
        caller,
        task_id,
        after,
        shown: String::new(),
        is_first: true,
        until: Instant::now() + LASTS,
        _permit: permit,
    };
    let events = stream::unfold(Some(watch), next_events);
    let events = futures::StreamExt::flat_map(events, |events| {
        stream::iter(events.into_iter().map(Ok::<_, Infallible>))
    });
    let keep_alive = KeepAlive::new().interval(SAYS_IT_LIVES_EVERY);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// A stream's place.
struct Watch {
    control: Control,
    caller: Caller,
    task_id: TaskId,
    after: i64,
    /// The progress that was sent last.
    shown: String,
    is_first: bool,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

/// What has happened since the last look; waits until something has. A look that fails ends the stream: its client
/// comes back with the last id.
async fn next_events(watch: Option<Watch>) -> Option<(Vec<Event>, Option<Watch>)> {
    let mut watch = watch?;
    while Instant::now() < watch.until {
        if !std::mem::take(&mut watch.is_first) {
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        match watch.look().await {
            Ok((events, is_over)) if !events.is_empty() || is_over => {
                return Some((events, (!is_over).then_some(watch)));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a stream of events ends");
                return None;
            }
        }
    }
    None
}

impl Watch {
    /// New events, and whether the last of them was the task's end.
    async fn look(&mut self) -> Result<(Vec<Event>, bool), Error> {
        // Events first: the progress that follows them is at least as new.
        let found = self.control.list_events(&self.caller, self.task_id, self.after, EVENTS_PER_LOOK).await?;
        let progress = self.control.show_task(&self.caller, self.task_id).await?;
        let is_over = found.iter().any(|event| event.kind == EventKind::Ended)
            || (found.is_empty() && progress.task.status.is_ended());
        let mut events = Vec::new();
        let shown = self.progress(progress);
        for row in found {
            self.after = row.event_id;
            let id = row.event_id.to_string();
            let kind = row.kind.as_str();
            events.extend(Event::default().id(id).event(kind).json_data(NativeEvent::from(row)));
        }
        // In front of the end, behind which nothing comes.
        let place = if is_over { events.len().saturating_sub(1) } else { events.len() };
        if let Some(shown) = shown {
            events.insert(place, shown);
        }
        Ok((events, is_over))
    }

    fn progress(&mut self, progress: TaskProgress) -> Option<Event> {
        let data = serde_json::to_string(&Progress {
            status: progress.task.status.as_str(),
            waiting_for: progress.waiting_for,
            waves: progress.waves.into_iter().map(NativeWave::from).collect(),
        })
        .ok()?;
        if data == self.shown {
            return None;
        }
        self.shown.clone_from(&data);
        Some(Event::default().event("PROGRESS").data(data))
    }
}
