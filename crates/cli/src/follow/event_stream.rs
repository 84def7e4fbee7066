//! The event stream of a task, over as many connections as needed. Each message is delivered once.

use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, future::BoxFuture, stream::BoxStream};
use proto::admin::{
    EventKind, TaskEvent, TaskProgress, WatchTaskRequest, WatchTaskResponse,
    watch_task_response::Update as Message,
};
use tokio::{sync::mpsc, time::Instant};
use tonic::{Code, Status};

use crate::{Error, client::Session, error::helps_later};

/// Maximum time of reconnecting before the stream fails.
const TIMEOUT: Duration = Duration::from_mins(5);
/// Pauses between reconnects; the last pause repeats.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];

/// Update of a watched task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Update {
    /// Event of the task.
    Event(TaskEvent),
    /// New counters of the task and its waves.
    Progress(TaskProgress),
    /// Connection lost, with the cause. The stream reconnects.
    Lost(String),
    /// Connection restored.
    Back,
    /// End of the task, after all other updates.
    End,
}

/// Maximum number of buffered updates. The server is not read while the buffer is full.
const MAX_WAITING: usize = 64;

/// Watches a task until it ends, the stream fails, or the receiver is dropped.
pub(crate) fn watch(session: &Session, task_id: &str) -> mpsc::Receiver<Result<Update, Error>> {
    let session = session.clone();
    let open: Open = Box::new(move |request| {
        let session = session.clone();
        let opened = async move { session.tasks().watch_task(request).await };
        opened.map_ok(|answer| answer.into_inner().boxed()).boxed()
    });
    let mut stream = EventStream::new(open, task_id);
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    tokio::spawn(async move {
        loop {
            let update = tokio::select! {
                update = stream.next() => update,
                () = sender.closed() => return,
            };
            let is_last = !matches!(&update, Ok(update) if *update != Update::End);
            if sender.send(update).await.is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// Messages of one connection, in order.
type Messages = BoxStream<'static, Result<WatchTaskResponse, Status>>;
/// Opens a connection that continues after the cursor of the request.
type Open = Box<dyn FnMut(WatchTaskRequest) -> BoxFuture<'static, Result<Messages, Status>> + Send>;

/// State of a watched task across its connections.
struct EventStream {
    open: Open,
    task_id: String,
    cursor: String,
    /// Set after the event of the end, the last event of a task.
    has_ended: bool,
    stream: Option<Messages>,
    /// Failed tries since the last message; `lost_at` is the time of the first one.
    tries: usize,
    lost_at: Option<Instant>,
    /// Message to deliver after [`Update::Back`].
    waiting: Option<Update>,
}

impl EventStream {
    fn new(open: Open, task_id: &str) -> Self {
        Self {
            open,
            task_id: task_id.to_owned(),
            cursor: String::new(),
            has_ended: false,
            stream: None,
            tries: 0,
            lost_at: None,
            waiting: None,
        }
    }

    /// Returns the next update. After the last one, it always returns [`Update::End`].
    ///
    /// # Errors
    ///
    /// The call is refused, or reconnects fail for five minutes.
    async fn next(&mut self) -> Result<Update, Error> {
        loop {
            match self.step().await {
                Ok(Some(update)) => return Ok(update),
                Ok(None) if self.has_ended => return Ok(Update::End),
                // A proxy ended the stream: the server ends a stream cleanly only after the end of
                // the task.
                Ok(None) => {
                    if let Some(update) = self.again(&Status::unavailable("the stream ended early")).await? {
                        return Ok(update);
                    }
                }
                Err(status) if comes_again(&status) => {
                    if let Some(update) = self.again(&status).await? {
                        return Ok(update);
                    }
                }
                Err(status) => {
                    return Err(Error::of(&format!("cannot watch task {}", self.task_id), &status));
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Update>, Status> {
        if let Some(update) = self.waiting.take() {
            return Ok(Some(update));
        }
        if self.stream.is_none() {
            let request = WatchTaskRequest { task_id: self.task_id.clone(), cursor: self.cursor.clone() };
            self.stream = Some((self.open)(request).await?);
        }
        let Some(stream) = &mut self.stream else { return Ok(None) };
        loop {
            let Some(message) = stream.next().await.transpose()? else { return Ok(None) };
            self.cursor = message.cursor;
            let update = match message.update {
                Some(Message::Event(event)) => {
                    self.has_ended |= event.kind() == EventKind::Ended;
                    Update::Event(event)
                }
                Some(Message::Progress(progress)) => Update::Progress(progress),
                // A newer server may send unknown updates.
                None => continue,
            };
            // Reset only after a message, because a connection without messages counts as lost.
            self.lost_at = None;
            if std::mem::take(&mut self.tries) > 1 {
                self.waiting = Some(update);
                return Ok(Some(Update::Back));
            }
            return Ok(Some(update));
        }
    }

    /// Waits before the next try. The first retry is immediate and not reported, because streams
    /// end now and then.
    async fn again(&mut self, status: &Status) -> Result<Option<Update>, Error> {
        self.stream = None;
        self.tries += 1;
        let lost_at = *self.lost_at.get_or_insert_with(Instant::now);
        if self.tries == 1 {
            return Ok(None);
        }
        let pause = PAUSES.get(self.tries - 2).copied().unwrap_or(Duration::from_secs(10));
        if lost_at.elapsed() > TIMEOUT {
            return Err(Error::of(
                &format!("cannot watch task {} after 5m of retries", self.task_id),
                status,
            ));
        }
        tokio::time::sleep(pause).await;
        Ok((self.tries == 2).then(|| Update::Lost(status.message().to_owned())))
    }
}

/// Reports whether a reconnect may succeed: the connection broke, the server stops, or too many
/// clients watch.
fn comes_again(status: &Status) -> bool {
    helps_later(status) || status.code() == Code::ResourceExhausted
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::stream;

    use super::*;

    fn message(event_id: i64, kind: EventKind) -> Result<WatchTaskResponse, Status> {
        let event = TaskEvent { event_id, kind: kind.into(), ..TaskEvent::default() };
        Ok(WatchTaskResponse { cursor: event_id.to_string(), update: Some(Message::Event(event)) })
    }

    fn broken() -> Result<WatchTaskResponse, Status> {
        Err(Status::unavailable("the server is stopping"))
    }

    /// Watches a task over these connections, one after the other. Returns the updates, and the
    /// cursors of the requests.
    async fn follow(
        connections: Vec<Result<Vec<Result<WatchTaskResponse, Status>>, Status>>,
    ) -> (Vec<String>, Vec<String>) {
        let cursors = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let asked = std::sync::Arc::clone(&cursors);
        let mut connections = VecDeque::from(connections);
        let open: Open = Box::new(move |request| {
            asked.lock().unwrap().push(request.cursor);
            let next =
                connections.pop_front().unwrap_or_else(|| Err(Status::unavailable("no connection is left")));
            std::future::ready(next.map(|messages| stream::iter(messages).boxed())).boxed()
        });
        let mut stream = EventStream::new(open, "t");
        let mut update = Vec::new();
        loop {
            update.push(match stream.next().await {
                Ok(Update::Event(event)) => format!("event {}", event.event_id),
                Ok(Update::Progress(_)) => "progress".to_owned(),
                Ok(Update::Lost(why)) => format!("lost: {why}"),
                Ok(Update::Back) => "back".to_owned(),
                Ok(Update::End) => "end".to_owned(),
                Err(failure) => failure.to_string().lines().next().unwrap_or_default().to_owned(),
            });
            if update.last().is_some_and(|last| last == "end" || last.starts_with("cannot")) {
                let cursors = cursors.lock().unwrap().clone();
                return (update, cursors);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_event_is_told_once_over_connections_that_break() {
        let (first, second) = (message(1, EventKind::Accepted), message(2, EventKind::Ended));
        let (update, cursors) = follow(vec![Ok(vec![first, broken()]), Ok(vec![second])]).await;
        // A single reconnect is not reported.
        assert_eq!(update, ["event 1", "event 2", "end"]);
        assert_eq!(cursors, ["", "1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_ends_early_is_no_end() {
        let (update, cursors) =
            follow(vec![Ok(vec![message(1, EventKind::Accepted)]), Ok(vec![message(2, EventKind::Ended)])])
                .await;
        assert_eq!(
            (update, cursors),
            (vec!["event 1".into(), "event 2".into(), "end".into()], vec![String::new(), "1".into()])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn lost_connection_is_shown_and_given_up_after_5_minutes() {
        let away = || Err(Status::unavailable("connection refused"));
        let back = Ok(vec![message(1, EventKind::Ended)]);
        let (seen, _) = follow(vec![away(), away(), away(), back]).await;
        assert_eq!(seen, ["lost: connection refused", "back", "event 1", "end"]);

        // Connections without messages count as lost, and a pause precedes each of them.
        let begun = Instant::now();
        let empty = (0..10_000).map(|_| Ok(vec![broken()])).collect();
        let (seen, cursors) = follow(empty).await;
        assert_eq!(seen.len(), 2);
        assert!(seen[1].starts_with("cannot watch task t after 5m of retries"), "{seen:?}");
        assert!(begun.elapsed() >= TIMEOUT && cursors.len() < 100, "{} connections", cursors.len());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_asked_again() {
        let (seen, cursors) = follow(vec![Err(Status::not_found("the task does not exist"))]).await;
        assert_eq!(
            (seen, cursors.len()),
            (vec!["cannot watch task t: the task does not exist".to_owned()], 1)
        );
    }
}
