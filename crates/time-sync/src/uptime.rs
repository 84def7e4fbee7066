//! Time since the machine started.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine started, including sleep. It only increases, at a constant pace,
/// regardless of clock adjustments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Uptime(pub(crate) Duration);

/// Includes the time that a laptop sleeps.
#[cfg(target_os = "linux")]
const SINCE_START: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_START: ClockId = ClockId::Monotonic;

impl Uptime {
    pub(crate) fn now() -> Self {
        let time = clock_gettime(SINCE_START);
        // On this clock neither value is negative or too large.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanoseconds))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
