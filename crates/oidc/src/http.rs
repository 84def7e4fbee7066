//! Calls to the identity provider.

use std::{path::Path, pin::Pin, sync::Arc, time::Duration};

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio::sync::Semaphore;
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::Error;

/// Deadline of one call.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// Maximum size of an answer. Key sets and userinfo answers have a few kilobytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// Calls at the same time. Each takes a thread until its end or its deadline.
const MAX_CALLS: usize = 16;

/// Client of one provider.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    agent: Agent,
    places: Arc<Semaphore>,
}

/// A call that got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the call failed")]
    Call(#[from] ureq::Error),
    #[error("too many sign-ins wait for the identity provider")]
    Busy,
    #[error("the call was cut off")]
    Ended,
}

impl Http {
    /// Creates a client. It follows no redirect: an address that the provider's metadata names must
    /// not lead to another machine of the network.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, Error> {
        let roots = match ca_file {
            None => RootCerts::PlatformVerifier,
            Some(path) => RootCerts::Specific(Arc::new(certificates(path)?)),
        };
        let agent = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .timeout_global(Some(CALL_WITHIN))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self { agent, places: Arc::new(Semaphore::new(MAX_CALLS)) })
    }

    /// Sends a request on a thread for blocking calls.
    async fn send(self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let Self { agent, places } = self;
        let place = places.try_acquire_owned().map_err(|_| CallError::Busy)?;
        let call = move || {
            let answer = agent.run(request)?;
            let (parts, mut body) = answer.into_parts();
            let bytes = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
            drop(place);
            Ok(HttpResponse::from_parts(parts, bytes))
        };
        tokio::task::spawn_blocking(call).await.map_err(|_| CallError::Ended)?
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, CallError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let unusable = |cause: String| Error::NotUsable(format!("cannot use {}: {cause}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| unusable(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(unusable("it has no certificate in PEM".into())) } else { Ok(found) }
}
