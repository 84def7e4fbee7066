//! Rate of finished targets, and the remaining time of a wave.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Period over which the rate is measured.
const WINDOW: Duration = Duration::from_secs(30);
/// Maximum number of samples.
const MAX_LOOKS: usize = 128;

/// Samples of finished targets: local time and count, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    looks: VecDeque<(Instant, u32)>,
}

impl Rate {
    /// Adds a sample: the number of targets finished by `now`.
    pub(crate) fn look(&mut self, finished: u32, now: Instant) {
        self.looks.push_back((now, finished));
        // Keep one sample older than the window as the base of the rate.
        while self.looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
            || self.looks.len() > MAX_LOOKS
        {
            self.looks.pop_front();
        }
    }

    /// Returns the targets finished per second; `None` before the second sample.
    pub(crate) fn per_second(&self, now: Instant) -> Option<f64> {
        let (&(since, before), &(_, finished)) = (self.looks.front()?, self.looks.back()?);
        let seconds = now.duration_since(since).as_secs_f64();
        (self.looks.len() > 1 && seconds > 0.0).then(|| f64::from(finished.saturating_sub(before)) / seconds)
    }

    /// Estimates the time to finish `more` targets; `None` without progress.
    pub(crate) fn left(&self, more: u32, now: Instant) -> Option<Duration> {
        let rate = self.per_second(now).filter(|rate| *rate > 0.0)?;
        Duration::try_from_secs_f64(f64::from(more) / rate).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_half_minute_says_how_fast_it_goes() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        rate.look(0, at(0));
        assert_eq!((rate.per_second(at(1)), rate.left(10, at(1))), (None, None));
        rate.look(100, at(10));
        assert_eq!(rate.per_second(at(10)), Some(10.0));
        assert_eq!(rate.left(50, at(10)), Some(Duration::from_secs(5)));
        // Without progress, the rate falls even without a new sample.
        assert_eq!(rate.per_second(at(20)), Some(5.0));
        rate.look(100, at(100));
        rate.look(110, at(110));
        assert_eq!(rate.per_second(at(110)), Some(0.1), "samples before the window do not count");
    }

    #[test]
    fn what_stands_still_has_no_end_and_looks_are_bounded() {
        let begin = Instant::now();
        let mut rate = Rate::default();
        for look in 0..1_000_u32 {
            rate.look(7, begin + Duration::from_millis(look.into()));
        }
        let now = begin + Duration::from_secs(1);
        assert_eq!((rate.per_second(now), rate.left(10, now)), (Some(0.0), None));
        assert!(rate.looks.len() <= MAX_LOOKS);
    }
}
