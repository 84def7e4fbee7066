//! Recognition of a wrong server by its first answer.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tonic::{
    body::Body,
    codegen::{Service, StdError, http},
    transport::Channel,
};

use super::{comparison::compare, probe::probe, target::Target};
use crate::wrong_server::WrongServer;

/// Channel that probes its server when the first answer is not one of the admin service.
#[derive(Debug, Clone)]
pub(crate) struct Recognition {
    channel: Channel,
    target: Arc<Target>,
    /// Whether the admin service has answered.
    is_known: Arc<AtomicBool>,
}

impl Recognition {
    pub(crate) fn new(channel: Channel, target: Target) -> Self {
        Self { channel, target: Arc::new(target), is_known: Arc::default() }
    }
}

impl Service<http::Request<Body>> for Recognition {
    type Response = http::Response<Body>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, StdError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.channel.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.channel.call(request);
        let (target, is_known) = (Arc::clone(&self.target), Arc::clone(&self.is_known));
        Box::pin(async move {
            let answer = answer.await;
            if is_known.load(Ordering::Relaxed) {
                return answer.map_err(Into::into);
            }
            match &answer {
                Ok(response) if is_of_admin(response) => is_known.store(true, Ordering::Relaxed),
                _ => {
                    if let Some(wrong) = wrong_server(&target).await {
                        return Err(wrong.into());
                    }
                }
            }
            answer.map_err(Into::into)
        })
    }
}

/// Probes the server; `None` if it may be the right one.
async fn wrong_server(target: &Target) -> Option<WrongServer> {
    let server = probe(&target.address, &target.proxies).await?;
    compare(target, &server)
}

/// Whether an answer has the marks of the admin service: gRPC, and a request id.
fn is_of_admin<B>(response: &http::Response<B>) -> bool {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/grpc"))
        && response.headers().contains_key("x-request-id")
}
