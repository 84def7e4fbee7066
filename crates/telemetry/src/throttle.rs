//! Limit for log lines that would repeat.

use std::time::{Duration, Instant};

/// Interval between two lines about the same condition.
pub const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Lets one line through in each interval, and counts the others.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    last: Option<Instant>,
    suppressed: u64,
    /// Whether a line about the current condition has been written.
    is_reported: bool,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new(LOG_INTERVAL)
    }
}

impl Throttle {
    /// Creates a limit of one line in each interval.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self { interval, last: None, suppressed: 0, is_reported: false }
    }

    /// Asks for a line now. Returns the number of lines that were suppressed since the last one;
    /// `None` if this line is suppressed too.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        self.is_reported = true;
        Some(std::mem::take(&mut self.suppressed))
    }

    /// Ends the condition. Returns whether a line about it has been written, so that its end
    /// deserves one too. The interval goes on: a condition that comes and goes fills no log.
    pub const fn end(&mut self) -> bool {
        std::mem::replace(&mut self.is_reported, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_passes_in_each_interval_with_a_count() {
        let (begin, mut throttle) = (Instant::now(), Throttle::default());
        let mut at = |seconds| throttle.pass(begin + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(5), at(59), at(60), at(61), at(300)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }

    #[test]
    fn condition_that_comes_and_goes_fills_no_log() {
        let (begin, mut throttle) = (Instant::now(), Throttle::default());
        assert!(!throttle.end(), "nothing was written");
        assert_eq!(throttle.pass(begin), Some(0));
        assert!(throttle.end() && !throttle.end(), "the end is reported once");
        assert_eq!(throttle.pass(begin + Duration::from_secs(1)), None);
        assert!(!throttle.end(), "the second condition was not reported");
        assert_eq!(throttle.pass(begin + LOG_INTERVAL), Some(1));
    }
}
