//! Response streams: limited in number and duration, and ended when the server stops.

use std::pin::Pin;

use control::{Caller, StreamPermit};
use domain::{Error, Reason, limits::STREAM_LASTS};
use futures::Stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::{
    Service,
    auth::Deadline,
    extract::extract,
    status::{deadline_exceeded, failed},
};

/// Stream of responses.
pub(crate) type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Limits of one open stream. Releases its permit when dropped.
#[derive(Debug)]
pub(crate) struct Lifetime {
    stop: CancellationToken,
    /// Deadline of the client; `None` without `grpc-timeout`.
    deadline: Option<Instant>,
    until: Instant,
    /// `None` if the stream holds its places elsewhere.
    _permit: Option<StreamPermit>,
}

impl Lifetime {
    /// Opens a stream for a request. Refused when the project or the server has its maximum number
    /// of streams open.
    pub(crate) fn begin<T>(service: &Service, request: Request<T>) -> Result<(Self, Caller, T), Status> {
        let (life, caller, message) = Self::without_place(service, request)?;
        let permit = service.control.open_stream(caller.project_id()).map_err(failed)?;
        Ok((Self { _permit: Some(permit), ..life }, caller, message))
    }

    /// Opens a stream whose places its use case takes.
    pub(crate) fn without_place<T>(
        service: &Service,
        request: Request<T>,
    ) -> Result<(Self, Caller, T), Status> {
        let deadline = request.extensions().get::<Deadline>().and_then(|deadline| deadline.0);
        let (caller, message) = extract(request)?;
        let until = Instant::now() + STREAM_LASTS;
        Ok((Self { stop: service.stop.clone(), deadline, until, _permit: None }, caller, message))
    }

    /// Waits for `work`, or returns the status that ends the stream: server stop, client deadline,
    /// or maximum duration.
    pub(crate) async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Result<T, Status> {
        let until = self.deadline.map_or(self.until, |deadline| deadline.min(self.until));
        tokio::select! {
            done = work => Ok(done),
            () = self.stop.cancelled() => Err(again("the server is stopping")),
            () = tokio::time::sleep_until(until) => {
                let is_clients = self.deadline.is_some_and(|deadline| deadline <= self.until);
                Err(if is_clients { deadline_exceeded() } else { again("the stream reached its maximum duration") })
            }
        }
    }
}

fn again(why: &str) -> Status {
    failed(Error::new(Reason::Overloaded, format!("{why}; call again with the last cursor")))
}
