//! Completes a change even if the client disconnects, which drops the handler.

use std::future::Future;

use domain::Error;
use tracing::Instrument as _;

/// Runs the work to its end, even if the caller stops waiting.
pub async fn finished<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let working = tokio::spawn(work.instrument(tracing::Span::current()));
    working.await.map_err(|error| Error::internal().with_source(error))?
}
