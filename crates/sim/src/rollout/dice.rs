//! The dice: every choice of a story comes from one seed.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The dice of one story.
#[derive(Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// `stream` keeps what is drawn for one purpose from changing what is drawn for another.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// Whether something happens that happens so often in a thousand.
    pub(super) fn per_mille(&mut self, often: u32) -> bool {
        often > 0 && self.0.random_range(0..1_000) < often
    }

    pub(super) fn percent(&mut self, often: u32) -> bool {
        self.per_mille(often * 10)
    }

    /// From `least` to `most`, both included.
    pub(super) fn between(&mut self, least: i64, most: i64) -> i64 {
        self.0.random_range(least..=most.max(least))
    }

    pub(super) fn number(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most.max(least))
    }

    /// One of them.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.0.random_range(0..from.len())])
    }
}
