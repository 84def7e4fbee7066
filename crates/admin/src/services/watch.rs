//! The event stream of a task.

use std::collections::VecDeque;

use control::{TaskUpdate, Watch};
use domain::{Error, Reason, ids::TaskId, limits::STREAM_LOOKS_EVERY};
use futures::stream;
use proto::admin::{WatchTaskRequest, WatchTaskResponse, watch_task_response};
use tonic::{Request, Status};

use crate::{
    Service,
    convert::task,
    status::failed,
    streams::{Lifetime, ResponseStream},
};

/// Opens the event stream of a task.
pub(super) async fn watch(
    service: &Service,
    request: Request<WatchTaskRequest>,
) -> Result<ResponseStream<WatchTaskResponse>, Status> {
    let (life, caller, message) = Lifetime::begin(service, request)?;
    let task_id = TaskId::find(&message.task_id).map_err(failed)?;
    let after = cursor(task_id, &message.cursor).map_err(failed)?;
    let watch = service.control.watch_task(&caller, task_id, after).await.map_err(failed)?;
    let state = watch.map(|watch| WatchState {
        watch,
        task_id,
        after,
        waiting: VecDeque::new(),
        is_over: false,
        is_first: true,
        life,
    });
    Ok(Box::pin(stream::unfold(state, next)))
}

/// Parses a cursor to the id of its event. A cursor of another task is an error, because the stream
/// would skip events.
fn cursor(task_id: TaskId, text: &str) -> Result<i64, Error> {
    if text.is_empty() {
        return Ok(0);
    }
    let of_task = text.split_once('.').filter(|(task, _)| *task == task_id.to_string());
    let event_id = of_task.and_then(|(_, event_id)| event_id.parse().ok()).filter(|event_id| *event_id >= 0);
    event_id.ok_or_else(|| {
        let message = "invalid cursor; send the cursor of the last message of this task, or none";
        Error::field(Reason::PageTokenInvalid, "cursor", message)
    })
}

fn cursor_behind(task_id: TaskId, event_id: i64) -> String {
    format!("{task_id}.{event_id}")
}

/// Position of an event stream.
struct WatchState {
    watch: Watch,
    task_id: TaskId,
    /// Id of the last event sent.
    after: i64,
    waiting: VecDeque<TaskUpdate>,
    is_over: bool,
    is_first: bool,
    life: Lifetime,
}

/// Returns the next event. Waits until there is one; `None` after the task's last event.
async fn next(state: Option<WatchState>) -> Option<(Result<WatchTaskResponse, Status>, Option<WatchState>)> {
    let mut state = state?;
    loop {
        if let Some(update) = state.waiting.pop_front() {
            return Some((Ok(state.response(update)), Some(state)));
        }
        if state.is_over {
            return None;
        }
        if let Err(status) = state.look().await {
            return Some((Err(status), None));
        }
    }
}

impl WatchState {
    async fn look(&mut self) -> Result<(), Status> {
        let is_first = std::mem::take(&mut self.is_first);
        let looked = async {
            if !is_first {
                tokio::time::sleep(STREAM_LOOKS_EVERY).await;
            }
            self.watch.look().await
        };
        let looked = self.life.unless_over(looked).await?.map_err(failed)?;
        self.waiting.extend(looked.updates);
        self.is_over = looked.is_over;
        Ok(())
    }

    fn response(&mut self, update: TaskUpdate) -> WatchTaskResponse {
        let update = match update {
            TaskUpdate::Event(row) => {
                self.after = row.event_id;
                watch_task_response::Update::Event(task::event(row))
            }
            TaskUpdate::Progress(progress) => watch_task_response::Update::Progress(task::progress(progress)),
        };
        WatchTaskResponse { cursor: cursor_behind(self.task_id, self.after), update: Some(update) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_task_alone() {
        let id = |digit: &str| TaskId::find(&digit.repeat(32)).unwrap();
        let made = cursor_behind(id("1"), 7);
        assert_eq!(cursor(id("1"), &made).unwrap(), 7);
        assert_eq!(cursor(id("1"), "").unwrap(), 0);
        assert!(cursor(id("2"), &made).is_err());
        for bad in ["7", "-5", "x", &cursor_behind(id("1"), -5), &format!("{made}x")] {
            assert!(cursor(id("1"), bad).is_err(), "{bad}");
        }
    }
}
