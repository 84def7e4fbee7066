//! Clock of Windows.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// First use of the clock.
static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Time since the first use of the clock, including sleep: the performance counter goes on then.
pub(crate) fn since_start() -> Duration {
    FIRST.elapsed()
}
