//! A task that is watched.

use std::collections::VecDeque;

use control::{Told, Watch};
use domain::{Error, ids::TaskId, limits::STREAM_LOOKS_EVERY};
use futures::stream;
use proto::admin::{WatchTaskRequest, WatchTaskResponse, watch_task_response};
use tonic::{Request, Status};

use crate::{
    Service,
    called::called,
    status::failed,
    streams::{self, Life},
    task,
};

/// Begins to tell.
pub(crate) async fn watch(
    service: &Service,
    request: Request<WatchTaskRequest>,
) -> Result<streams::Told<WatchTaskResponse>, Status> {
    let life = Life::begin(service, &request)?;
    let (caller, message) = called(request)?;
    let task_id = TaskId::find(&message.task_id).map_err(failed)?;
    let after = cursor(&message.cursor).map_err(failed)?;
    let watch = service.control.watch_task(&caller, task_id, after).await.map_err(failed)?;
    let place = watch.map(|watch| Place {
        watch,
        after,
        waiting: VecDeque::new(),
        is_over: false,
        is_first: true,
        life,
    });
    Ok(Box::pin(stream::unfold(place, next)))
}

fn cursor(text: &str) -> Result<i64, Error> {
    if text.is_empty() {
        return Ok(0);
    }
    let bad = |_| Error::invalid("cursor is none of ours: use that of the last message, or none");
    text.parse().map_err(bad)
}

/// A stream's place.
struct Place {
    watch: Watch,
    /// The event that was told last.
    after: i64,
    waiting: VecDeque<Told>,
    is_over: bool,
    is_first: bool,
    life: Life,
}

/// What is told next; waits until there is something.
async fn next(place: Option<Place>) -> Option<(Result<WatchTaskResponse, Status>, Option<Place>)> {
    let mut place = place?;
    loop {
        if let Some(told) = place.waiting.pop_front() {
            return Some((Ok(place.response(told)), Some(place)));
        }
        if place.is_over {
            return None;
        }
        if let Err(status) = place.look().await {
            return Some((Err(status), None));
        }
    }
}

impl Place {
    async fn look(&mut self) -> Result<(), Status> {
        let is_first = std::mem::take(&mut self.is_first);
        let looked = async {
            if !is_first {
                tokio::time::sleep(STREAM_LOOKS_EVERY).await;
            }
            self.watch.look().await
        };
        let looked = self.life.unless_over(looked).await?.map_err(failed)?;
        self.waiting.extend(looked.told);
        self.is_over = looked.is_over;
        Ok(())
    }

    fn response(&mut self, told: Told) -> WatchTaskResponse {
        let told = match told {
            Told::Event(row) => {
                self.after = row.event_id;
                watch_task_response::Told::Event(task::event(row))
            }
            Told::Progress(progress) => watch_task_response::Told::Progress(task::progress(progress)),
        };
        WatchTaskResponse { cursor: self.after.to_string(), told: Some(told) }
    }
}
