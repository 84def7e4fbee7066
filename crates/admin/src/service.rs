//! The shared state of all services.

use std::sync::Arc;

use control::Control;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The state that each service shares.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) control: Control,
    /// Room for streams.
    pub(crate) streams: Arc<Semaphore>,
    /// Streams end at it.
    pub(crate) stop: CancellationToken,
}
