//! The shared state of all services.

use control::Control;
use tokio_util::sync::CancellationToken;

/// State that all services share.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) control: Control,
    /// Ends all streams when cancelled.
    pub(crate) stop: CancellationToken,
}
