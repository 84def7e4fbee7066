//! The stream of what happens to a task, over as many connections as it takes: each message once.

use std::time::Duration;

use proto::admin::{
    EventKind, TaskEvent, TaskProgress, WatchTaskRequest, WatchTaskResponse,
    watch_task_response::Told as Message,
};
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use crate::{Failure, connect::Session};

/// How long nobody may answer before it is told as a failure.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two tries, growing.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// Something happened.
    Event(TaskEvent),
    /// The numbers changed.
    Progress(TaskProgress),
    /// Nobody answers, and it is tried again.
    Lost(String),
    /// Somebody answers again.
    Back,
    /// The task has ended, and everything was told.
    End,
}

/// Messages that wait to be shown at most; the server is not read from while nobody takes them.
const MAX_WAITING: usize = 64;

/// Watches a task, until its end, a failure, or until nobody listens any more.
pub(crate) fn watch(session: &Session, task_id: &str) -> mpsc::Receiver<Result<Told, Failure>> {
    let mut watching = Watching::new(session, task_id);
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    tokio::spawn(async move {
        loop {
            let told = tokio::select! {
                told = watching.next() => told,
                () = sender.closed() => return,
            };
            let is_last = !matches!(&told, Ok(told) if *told != Told::End);
            if sender.send(told).await.is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// A task that is watched.
struct Watching {
    session: Session,
    task_id: String,
    cursor: String,
    /// The end was told: nothing comes behind it.
    has_ended: bool,
    stream: Option<Streaming<WatchTaskResponse>>,
    /// Tries since the last message, and how long has been waited between them.
    tries: usize,
    waited: Duration,
}

impl Watching {
    fn new(session: &Session, task_id: &str) -> Self {
        Self {
            session: session.clone(),
            task_id: task_id.to_owned(),
            cursor: String::new(),
            has_ended: false,
            stream: None,
            tries: 0,
            waited: Duration::ZERO,
        }
    }

    /// The next thing that is told. Behind [`Told::End`] there is none.
    ///
    /// # Errors
    ///
    /// The call is refused, or nobody has answered for five minutes.
    async fn next(&mut self) -> Result<Told, Failure> {
        loop {
            match self.step().await {
                Ok(Some(told)) => return Ok(told),
                Ok(None) if self.has_ended => return Ok(Told::End),
                // Somebody on the way ended it: the server ends a stream in good order only behind the task's end.
                Ok(None) => {
                    if let Some(told) = self.again(&Status::unavailable("the stream ended early")).await? {
                        return Ok(told);
                    }
                }
                Err(status) if comes_again(&status) => {
                    if let Some(told) = self.again(&status).await? {
                        return Ok(told);
                    }
                }
                Err(status) => {
                    return Err(Failure::of(&format!("cannot watch task {}", self.task_id), &status));
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Told>, Status> {
        if self.stream.is_none() {
            let request = WatchTaskRequest { task_id: self.task_id.clone(), cursor: self.cursor.clone() };
            self.stream = Some(self.session.tasks().watch_task(request).await?.into_inner());
            if std::mem::take(&mut self.tries) > 1 {
                self.waited = Duration::ZERO;
                return Ok(Some(Told::Back));
            }
        }
        let Some(stream) = &mut self.stream else { return Ok(None) };
        loop {
            let Some(message) = stream.message().await? else { return Ok(None) };
            self.waited = Duration::ZERO;
            self.tries = 0;
            self.cursor = message.cursor;
            match message.told {
                Some(Message::Event(event)) => {
                    self.has_ended |= event.kind() == EventKind::Ended;
                    return Ok(Some(Told::Event(event)));
                }
                Some(Message::Progress(progress)) => return Ok(Some(Told::Progress(progress))),
                // From a newer server.
                None => {}
            }
        }
    }

    /// Waits before the next try. The first try follows at once and is not worth a word: streams end now and then.
    async fn again(&mut self, status: &Status) -> Result<Option<Told>, Failure> {
        self.stream = None;
        self.tries += 1;
        if self.tries == 1 {
            return Ok(None);
        }
        let pause = PAUSES.get(self.tries - 2).copied().unwrap_or(Duration::from_secs(10));
        if self.waited > PATIENCE {
            return Err(Failure::of(&format!("cannot watch task {} any more", self.task_id), status));
        }
        self.waited += pause;
        tokio::time::sleep(pause).await;
        Ok((self.tries == 2).then(|| Told::Lost(status.message().to_owned())))
    }
}

/// A connection that broke, a server that stops, or too many who look: others may answer, or the same one later.
fn comes_again(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Cancelled
            | Code::Internal
            | Code::ResourceExhausted
    )
}
