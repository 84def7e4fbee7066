//! Clock of Unix.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Includes the time that a laptop sleeps.
#[cfg(target_os = "linux")]
const SINCE_START: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_START: ClockId = ClockId::Monotonic;

/// Time since the machine started, including sleep.
pub(crate) fn since_start() -> Duration {
    let time = clock_gettime(SINCE_START);
    // On this clock neither value is negative or too large.
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}
