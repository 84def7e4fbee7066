//! How long to wait before a call is made again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(3);

/// Doubles from 0.1 to 3 seconds; starts over after a success.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// The next pause.
    pub(crate) fn failed(&mut self) -> Duration {
        let pause = Self::after(self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// The pause after this many failures in a row.
    pub(crate) fn after(failures: impl Into<u32>) -> Duration {
        doubled(FIRST, failures.into(), LAST)
    }
}

/// A duration doubled this many times, and `most` at most.
pub(crate) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_three_seconds_and_starts_over() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_000, 3_000, 3_000]);
        backoff.succeeded();
        assert_eq!(backoff.failed(), FIRST);
    }
}
