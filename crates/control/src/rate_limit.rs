//! How often a principal may call, and how many bytes of bodies are held at once.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use domain::{Error, Reason};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Principals that are remembered before those that have been quiet are forgotten.
const CACHE_CAPACITY: usize = 10_000;
/// The unit in which bodies are counted.
const UNIT_BYTES: usize = 4 << 10;

/// A bucket for each principal.
#[derive(Debug)]
pub struct Rates {
    buckets: DefaultKeyedRateLimiter<String>,
}

impl Rates {
    /// So many calls a second, with bursts of so many.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { buckets: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)) }
    }

    /// Takes one call; the error is how long to wait.
    pub fn take(&self, principal: &str) -> Result<(), Duration> {
        if self.buckets.len() > CACHE_CAPACITY {
            self.buckets.retain_recent();
        }
        self.buckets
            .check_key(&principal.to_owned())
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }
}

/// The memory that bodies may take together: large ones wait for nobody and are refused when it is used up.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT_BYTES).max(1))))
    }

    /// How many bytes there is room for in what was taken: as many as were asked for, or a few more.
    pub fn room(taken: &OwnedSemaphorePermit) -> usize {
        taken.num_permits() * UNIT_BYTES
    }

    /// What a body of this many bytes takes of the budget.
    pub const fn taken_by(bytes: usize) -> usize {
        bytes.div_ceil(UNIT_BYTES) * UNIT_BYTES
    }

    /// Room for a body of at most so many bytes, until the answer is dropped.
    pub fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(units).map_err(|_| {
            Error::new(Reason::Overloaded, "too many large requests are under way; try again later")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ErrorKind;

    #[test]
    fn a_principal_that_asks_too_often_waits_and_others_do_not() {
        let rates = Rates::new(NonZeroU32::MIN, NonZeroU32::new(2).unwrap());
        assert!(rates.take("a").is_ok() && rates.take("a").is_ok());
        let wait = rates.take("a").unwrap_err();
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(100), "{wait:?}");
        assert!(rates.take("b").is_ok());
    }

    #[test]
    fn bodies_share_a_budget_and_give_it_back() {
        let budget = BodyBudget::new(10 << 20);
        let first = budget.take(6 << 20).unwrap();
        assert_eq!(budget.take(6 << 20).unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(budget.take(100).is_ok());
        drop(first);
        assert!(budget.take(6 << 20).is_ok());
    }
}
