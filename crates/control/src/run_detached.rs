//! Changes are finished although their client hangs up, which drops its handler.

use std::future::Future;

use domain::Error;
use tracing::Instrument as _;

/// Does the work to its end, whatever becomes of who waits for it.
pub async fn finished<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let working = tokio::spawn(work.instrument(tracing::Span::current()));
    working.await.map_err(|error| Error::internal().with_source(error))?
}
