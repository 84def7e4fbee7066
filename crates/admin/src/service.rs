//! The shared state of all services.

use std::sync::Arc;

use control::Control;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// State that all services share.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) control: Control,
    /// Permits for open streams.
    pub(crate) streams: Arc<Semaphore>,
    /// Ends all streams when cancelled.
    pub(crate) stop: CancellationToken,
}
