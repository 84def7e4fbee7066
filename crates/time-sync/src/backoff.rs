//! Pauses between attempts.

use std::time::Duration;

use rand::Rng;

/// Number of failures after which the pause stops growing.
const MAX_STEPS: u32 = 16;

/// Pauses that grow with each failure up to a limit, and start over after a success.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    growth: u32,
    failures: u32,
}

impl Backoff {
    /// Creates pauses that double with each failure.
    pub const fn doubling(first: Duration, most: Duration) -> Self {
        Self { first, most, growth: 2, failures: 0 }
    }

    /// Creates pauses for [`Self::pause_with_jitter`], under a cap that grows fourfold.
    pub const fn spread(first: Duration, most: Duration) -> Self {
        Self { first, most, growth: 4, failures: 0 }
    }

    /// Pause after this many consecutive failures.
    pub fn after(&self, failures: u32) -> Duration {
        let factor = self.growth.saturating_pow(failures.min(MAX_STEPS));
        self.first.saturating_mul(factor).min(self.most)
    }

    /// Records a failure and returns the pause after it.
    pub fn pause(&mut self) -> Duration {
        let pause = self.after(self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Records a failure and draws a pause between the first pause and the cap, so that clients
    /// that failed together do not return together.
    pub fn pause_with_jitter(&mut self, rng: &mut impl Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        rng.random_range(self.first..=self.after(self.failures).max(self.first))
    }

    /// Resets the backoff after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_over() {
        let mut backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(3));
        let pauses: Vec<u128> = (0..8).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_000, 3_000, 3_000]);
        backoff.reset();
        assert_eq!(backoff.pause().as_millis(), 100);
    }

    #[test]
    fn spread_pauses_stay_under_a_growing_cap_until_reset() {
        let (first, most) = (Duration::from_millis(200), Duration::from_secs(30));
        let mut rng = StdRng::seed_from_u64(7);
        let mut backoff = Backoff::spread(first, most);
        let mut cap = first;
        for _ in 0..20 {
            cap = (cap * 4).min(most);
            let pause = backoff.pause_with_jitter(&mut rng);
            assert!(first <= pause && pause <= cap, "{pause:?} under {cap:?}");
        }
        backoff.reset();
        assert!(backoff.pause_with_jitter(&mut rng) <= first * 4);
    }

    #[test]
    fn equal_bounds_are_a_fixed_pause() {
        let one = Duration::from_millis(1);
        assert_eq!(Backoff::spread(one, one).pause_with_jitter(&mut StdRng::seed_from_u64(1)), one);
    }
}
