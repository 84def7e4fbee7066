//! Pauses between retries.

use std::time::Duration;

use time_sync::Backoff;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(3);

/// Backoff from 0.1 to 3 seconds.
pub(crate) const fn backoff() -> Backoff {
    Backoff::doubling(FIRST, LAST)
}
