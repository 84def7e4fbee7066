//! How long to wait before the next try.

use std::time::Duration;

use rand::Rng;

/// By so much the cap grows with each pause, and so far the first pauses are spread already.
const GROWTH: u32 = 4;

/// Pauses with full jitter under a growing cap, so that the agents of a restarted worker do not come back at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    cap: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, cap: min }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self, rng: &mut impl Rng) -> Duration {
        self.cap = self.cap.saturating_mul(GROWTH).min(self.max);
        rng.random_range(self.min..=self.cap.max(self.min))
    }

    /// After a success the next pause is a short one again.
    pub(crate) fn reset(&mut self) {
        self.cap = self.min;
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn pauses_stay_between_min_and_a_growing_cap_until_reset() {
        let (min, max) = (Duration::from_millis(200), Duration::from_secs(30));
        let mut rng = StdRng::seed_from_u64(7);
        let mut backoff = Backoff::new(min, max);
        let mut cap = min;
        for _ in 0..20 {
            cap = (cap * GROWTH).min(max);
            let pause = backoff.pause(&mut rng);
            assert!(min <= pause && pause <= cap, "{pause:?} under {cap:?}");
        }
        assert_eq!(backoff.cap, max);
        backoff.reset();
        assert!(backoff.pause(&mut rng) <= min * GROWTH);
    }

    #[test]
    fn equal_bounds_are_a_fixed_pause() {
        let one = Duration::from_millis(1);
        assert_eq!(Backoff::new(one, one).pause(&mut StdRng::seed_from_u64(1)), one);
    }
}
