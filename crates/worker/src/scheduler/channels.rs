//! One channel for each scheduler, and the routing of calls to them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tonic::{Code, Status, body::Body, codegen::http, transport::Channel};
use tower::{Service, ServiceExt as _};

use super::{
    AnswerWithin, CALL_TIMEOUT,
    choice::{EndpointHealth, choose},
};

/// Sends each call to one of the schedulers; after a failure, the next call goes to another one.
///
/// A call is never sent twice: its caller retries, and knows whether a retry is safe.
#[derive(Debug, Clone)]
pub(crate) struct Channels {
    channels: Arc<[Channel]>,
    standings: Arc<Mutex<Vec<EndpointHealth>>>,
}

impl Channels {
    pub(super) fn new(channels: Vec<Channel>) -> Self {
        let standings = vec![EndpointHealth::default(); channels.len()];
        Self { channels: channels.into(), standings: Arc::new(Mutex::new(standings)) }
    }

    fn choose(&self, now: Instant) -> Chosen {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let index = choose(&mut standings, now, rand::random_range(0..usize::MAX));
        Chosen { index, began: now, standings: Arc::clone(&self.standings) }
    }
}

/// Channel chosen for one call.
#[derive(Debug)]
struct Chosen {
    index: usize,
    began: Instant,
    standings: Arc<Mutex<Vec<EndpointHealth>>>,
}

impl Chosen {
    fn note(&self, is_good: bool) {
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(standing) = standings.get_mut(self.index) else { return };
        if is_good { standing.answered() } else { standing.failed(self.began, Instant::now()) }
    }
}

impl Service<http::Request<Body>> for Channels {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: http::Request<Body>) -> Self::Future {
        let chosen = self.choose(Instant::now());
        let mut channel = self.channels[chosen.index].clone();
        let AnswerWithin(within) = call.extensions().get().copied().unwrap_or(AnswerWithin(CALL_TIMEOUT));
        Box::pin(async move {
            // The deadline also covers the connection setup, unlike the client's own timeout.
            let answer = timeout(within, async { channel.ready().await?.call(call).await }).await;
            let answer = match answer {
                Ok(answer) => answer.map_err(|error| Status::from_error(Box::new(error))),
                Err(_) => Err(Status::deadline_exceeded(format!("no answer within {within:?}"))),
            };
            chosen.note(answer.as_ref().is_ok_and(is_good));
            // A stream ends with an error when its connection breaks.
            let noted = move |status| {
                chosen.note(false);
                status
            };
            answer.map(|answer| answer.map(|body| Body::new(body.map_err(noted))))
        })
    }
}

/// Whether the answer is final: another scheduler would not answer differently.
fn is_good(answer: &http::Response<Body>) -> bool {
    let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
    !matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}
