//! Random numbers: every choice of a simulation comes from one seed.

use domain::BasisPoints;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A seeded generator.
#[derive(Debug)]
pub(super) struct Rng(ChaCha8Rng);

impl Rng {
    /// Streams of one seed are independent, so that a new draw for one purpose changes no other
    /// purpose.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// True with a probability of `share` in a thousand.
    pub(super) fn per_mille(&mut self, share: u32) -> bool {
        share > 0 && self.0.random_range(0..1_000) < share
    }

    /// True with a probability of `share` in a hundred.
    pub(super) fn percent(&mut self, share: u32) -> bool {
        self.per_mille(share * 10)
    }

    /// A number from `least` to `most`, both included.
    pub(super) fn between(&mut self, least: i64, most: i64) -> i64 {
        self.0.random_range(least..=most.max(least))
    }

    /// A number from `least` to `most`, both included.
    pub(super) fn number(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most.max(least))
    }

    /// Draws a percentage between two numbers of basis points, each from 1 to 10,000.
    pub(super) fn basis_points(&mut self, least: u32, most: u32) -> BasisPoints {
        BasisPoints::new(self.number(least, most)).expect("callers pass 1 to 10,000")
    }

    /// Draws an element; `None` if the slice is empty.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.0.random_range(0..from.len())])
    }
}
