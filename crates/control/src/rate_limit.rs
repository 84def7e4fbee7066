//! Rate limits of principals, and the memory budget of request bodies.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use domain::{Error, Reason};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Number of rate buckets above which idle ones are removed.
const CACHE_CAPACITY: usize = 10_000;
/// Unit in which body bytes are counted.
const UNIT_BYTES: usize = 4 << 10;

/// Rate limits, one bucket per principal.
#[derive(Debug)]
pub struct Rates {
    buckets: DefaultKeyedRateLimiter<String>,
}

impl Rates {
    /// Creates limits of `per_second` calls per second, with bursts of `burst` calls.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { buckets: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)) }
    }

    /// Takes one call from the principal's bucket. The error is the time to wait.
    pub fn take(&self, principal: &str) -> Result<(), Duration> {
        if self.buckets.len() > CACHE_CAPACITY {
            self.buckets.retain_recent();
        }
        self.buckets
            .check_key(&principal.to_owned())
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }
}

/// Memory budget of all request bodies together. A body that does not fit is refused immediately.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// Creates a budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT_BYTES).max(1))))
    }

    /// Returns the number of bytes that a permit covers: the requested number, rounded up to the
    /// unit.
    pub fn room(taken: &OwnedSemaphorePermit) -> usize {
        taken.num_permits() * UNIT_BYTES
    }

    /// Returns the number of budget bytes that a body of this size takes.
    pub const fn taken_by(bytes: usize) -> usize {
        bytes.div_ceil(UNIT_BYTES) * UNIT_BYTES
    }

    /// Reserves memory for a body of at most `bytes` bytes, until the permit is dropped.
    pub fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(units).map_err(|_| {
            Error::new(Reason::Overloaded, "too many large requests are in flight; try again later")
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
