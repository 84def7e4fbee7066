//! What all streams of answers have in common: their number is bounded, and so is their time; they
//! end at a stop.

use std::{pin::Pin, sync::Arc};

use domain::{Error, Reason, limits::STREAM_LASTS};
use futures::Stream;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::{
    Service,
    auth::Deadline,
    status::{deadline_exceeded, failed},
};

/// A stream of answers.
pub(crate) type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The life of a stream.
#[derive(Debug)]
pub(crate) struct Lifetime {
    stop: CancellationToken,
    /// When its client stops waiting, if it said so.
    deadline: Option<Instant>,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Lifetime {
    /// Begins a stream for a request, if there is room for one more.
    pub(crate) fn begin<T>(service: &Service, request: &Request<T>) -> Result<Self, Status> {
        let permit = Arc::clone(&service.streams).try_acquire_owned().map_err(|_| {
            failed(Error::new(Reason::Overloaded, "too many streams are open; try again later"))
        })?;
        Ok(Self {
            stop: service.stop.clone(),
            deadline: request.extensions().get::<Deadline>().and_then(|deadline| deadline.0),
            until: Instant::now() + STREAM_LASTS,
            _permit: permit,
        })
    }

    /// The answer of some work, unless the stream must end before it comes; then how it ends.
    pub(crate) async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Result<T, Status> {
        let until = self.deadline.map_or(self.until, |deadline| deadline.min(self.until));
        tokio::select! {
            done = work => Ok(done),
            () = self.stop.cancelled() => Err(again("this server is stopping")),
            () = tokio::time::sleep_until(until) => {
                let is_clients = self.deadline.is_some_and(|deadline| deadline <= self.until);
                Err(if is_clients { deadline_exceeded() } else { again("the stream has lasted as long as one may") })
            }
        }
    }
}

fn again(why: &str) -> Status {
    failed(Error::new(Reason::Overloaded, format!("{why}: call again with the last cursor")))
}
