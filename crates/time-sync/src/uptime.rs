//! Time since a fixed moment.

use std::time::Duration;

use crate::platform;

/// Time since a moment that is the same for all of this process, including sleep. It only
/// increases, at a constant pace, regardless of clock adjustments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Uptime(pub(crate) Duration);

impl Uptime {
    pub(crate) fn now() -> Self {
        Self(platform::since_start())
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
