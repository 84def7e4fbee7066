//! Capacity for requests and their bodies: bounded in total and per caller, with a reserve for
//! urgent calls.
//!
//! Without a share per caller, one caller's half-sent requests would take all places. No other
//! caller could then stop a rollout.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::{Error, Reason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::BodyBudget;

/// Number of equal parts. One part is a caller's share of places and of body bytes.
const SHARES: usize = 4;
/// Minimum number of places of a caller, even if its share is smaller.
const MIN_SHARE: usize = 4;
/// Number of places reserved for urgent calls.
pub const RESERVED_PLACES: usize = 64;
/// Body bytes reserved for urgent calls.
const RESERVED_BODY_BYTES: usize = 4 << 20;

/// Treatment of a call when capacity runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// The call is refused.
    Ordinary,
    /// The call uses the reserve, because it stops, pauses or freezes work.
    Urgent,
}

/// Caller and priority for which a share is counted.
type Key = (String, Priority);

/// A caller's requests and body bytes in flight.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    requests: usize,
    body_bytes: usize,
}

/// Capacity for requests and their bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bulkhead(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ordinary: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    bodies: BodyBudget,
    reserved_bodies: BodyBudget,
    max_requests: usize,
    max_body_bytes: usize,
    usage: Mutex<HashMap<Key, Usage>>,
}

impl Inner {
    fn usage(&self) -> MutexGuard<'_, HashMap<Key, Usage>> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn max_requests(&self, priority: Priority) -> usize {
        match priority {
            Priority::Ordinary => self.max_requests,
            Priority::Urgent => RESERVED_PLACES / SHARES,
        }
    }

    const fn max_body_bytes(&self, priority: Priority) -> usize {
        match priority {
            Priority::Ordinary => self.max_body_bytes,
            Priority::Urgent => RESERVED_BODY_BYTES / SHARES,
        }
    }
}

impl Bulkhead {
    /// Creates a bulkhead with these totals. A caller gets a quarter of each, and at least one body
    /// of the largest size; the same amount stays available to other callers.
    pub fn new(max_requests: usize, body_budget_bytes: usize, largest_body_bytes: usize) -> Self {
        let max_requests = max_requests.min(Semaphore::MAX_PERMITS);
        let largest_body_bytes = BodyBudget::taken_by(largest_body_bytes);
        Self(Arc::new(Inner {
            ordinary: Arc::new(Semaphore::new(max_requests)),
            reserve: Arc::new(Semaphore::new(RESERVED_PLACES)),
            bodies: BodyBudget::new(body_budget_bytes.max(2 * largest_body_bytes)),
            reserved_bodies: BodyBudget::new(RESERVED_BODY_BYTES),
            max_requests: (max_requests / SHARES).max(max_requests.clamp(1, MIN_SHARE)),
            max_body_bytes: (body_budget_bytes / SHARES).max(largest_body_bytes),
            usage: Mutex::new(HashMap::new()),
        }))
    }

    /// Takes a place for a caller's request. Dropping the place releases it.
    ///
    /// # Errors
    ///
    /// `TooMany` if the caller uses its whole share, `Unavailable` if all places are taken.
    pub fn enter(&self, caller: &str, priority: Priority) -> Result<BulkheadPermit, Error> {
        let inner = &self.0;
        let key = self.enter_share(caller, priority)?;
        // From here on, dropping the place returns the share.
        let mut place = BulkheadPermit { bulkhead: self.clone(), key, permit: None, body_bytes: 0 };
        let permit = Arc::clone(&inner.ordinary).try_acquire_owned().or_else(|refused| match priority {
            Priority::Ordinary => Err(refused),
            Priority::Urgent => Arc::clone(&inner.reserve).try_acquire_owned(),
        });
        place.permit = Some(permit.map_err(|_| {
            Error::new(Reason::Overloaded, "too many requests are in flight; try again later")
        })?);
        Ok(place)
    }

    /// Counts one more request of a caller.
    fn enter_share(&self, caller: &str, priority: Priority) -> Result<Key, Error> {
        let key = (caller.to_owned(), priority);
        let most = self.0.max_requests(priority);
        let mut all = self.0.usage();
        let usage = all.entry(key.clone()).or_default();
        if usage.requests >= most {
            return Err(Error::new(
                Reason::ShareExceeded,
                format!("this caller has {most} requests in flight, its maximum share: wait until some end"),
            ));
        }
        usage.requests += 1;
        Ok(key)
    }

    /// Releases one request with its body.
    fn leave_share(&self, key: &Key, body_bytes: usize) {
        let mut all = self.0.usage();
        let Some(usage) = all.get_mut(key) else { return };
        usage.requests = usage.requests.saturating_sub(1);
        usage.body_bytes = usage.body_bytes.saturating_sub(body_bytes);
        if usage.requests == 0 {
            all.remove(key);
        }
    }
}

/// The place of one request in flight. Dropping it releases the place.
#[derive(Debug)]
pub struct BulkheadPermit {
    bulkhead: Bulkhead,
    key: Key,
    permit: Option<OwnedSemaphorePermit>,
    body_bytes: usize,
}

impl BulkheadPermit {
    /// Reserves memory for at most this many body bytes, until the permit is dropped. The share is
    /// released with the place.
    ///
    /// # Errors
    ///
    /// `TooMany` if the caller's bodies use its whole share, `Unavailable` if the bodies of all
    /// callers use the budget.
    pub fn body(&mut self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let inner = &self.bulkhead.0;
        let most = inner.max_body_bytes(self.key.1);
        // Rounds up, so that small pieces take the same amount from the share as from the budget.
        let bytes = BodyBudget::taken_by(bytes);
        {
            let mut usage = inner.usage();
            let usage = usage.entry(self.key.clone()).or_default();
            if usage.body_bytes.saturating_add(bytes) > most {
                return Err(Error::new(
                    Reason::ShareExceeded,
                    format!(
                        "this caller has {most} body bytes in flight, its maximum share: wait until some end"
                    ),
                ));
            }
            usage.body_bytes += bytes;
            self.body_bytes += bytes;
        }
        match self.key.1 {
            Priority::Ordinary => inner.bodies.take(bytes),
            Priority::Urgent => inner.bodies.take(bytes).or_else(|_| inner.reserved_bodies.take(bytes)),
        }
    }

    /// Moves the request and its body to another caller's share, once the claimed caller is
    /// verified.
    ///
    /// # Errors
    ///
    /// `TooMany` if that caller uses its whole share.
    pub fn count_for(&mut self, caller: &str) -> Result<(), Error> {
        let other = self.bulkhead.enter_share(caller, self.key.1)?;
        self.bulkhead.leave_share(&self.key, self.body_bytes);
        if let Some(usage) = self.bulkhead.0.usage().get_mut(&other) {
            usage.body_bytes += self.body_bytes;
        }
        self.key = other;
        Ok(())
    }
}

impl Drop for BulkheadPermit {
    fn drop(&mut self) {
        self.bulkhead.leave_share(&self.key, self.body_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ErrorKind;

    const MIB: usize = 1 << 20;

    fn kind<T>(result: Result<T, Error>) -> ErrorKind {
        result.err().unwrap().kind()
    }

    #[test]
    fn caller_beyond_its_share_leaves_room_for_others() {
        let bulkhead = Bulkhead::new(16, 4 * MIB, MIB);
        let held: Vec<BulkheadPermit> =
            (0..4).map(|_| bulkhead.enter("a", Priority::Ordinary).unwrap()).collect();
        assert_eq!(kind(bulkhead.enter("a", Priority::Ordinary)), ErrorKind::TooMany);
        assert!(bulkhead.enter("b", Priority::Ordinary).is_ok());
        drop(held);
        assert!(bulkhead.enter("a", Priority::Ordinary).is_ok());
        assert!(bulkhead.0.usage().is_empty(), "callers without requests are removed");
    }

    #[test]
    fn no_place_at_all_is_nobodys_share() {
        let none = Bulkhead::new(0, MIB, MIB);
        assert_eq!(kind(none.enter("a", Priority::Ordinary)), ErrorKind::Unavailable);
    }

    #[test]
    fn urgent_calls_have_places_when_all_are_taken() {
        let bulkhead = Bulkhead::new(4, MIB, MIB);
        let callers = ["a", "b", "c", "d"];
        let _held: Vec<BulkheadPermit> =
            callers.iter().map(|caller| bulkhead.enter(caller, Priority::Ordinary).unwrap()).collect();
        assert_eq!(kind(bulkhead.enter("e", Priority::Ordinary)), ErrorKind::Unavailable);
        let urgent: Vec<_> = (0..20).map(|_| bulkhead.enter("a", Priority::Urgent)).collect();
        assert_eq!(urgent.iter().filter(|place| place.is_ok()).count(), RESERVED_PLACES / SHARES);
        assert!(bulkhead.enter("e", Priority::Urgent).is_ok(), "one caller cannot exhaust the reserve");
    }

    #[test]
    fn proven_claim_counts_for_its_caller() {
        let bulkhead = Bulkhead::new(16, 4 * MIB, MIB);
        let mut places: Vec<BulkheadPermit> =
            (0..4).map(|_| bulkhead.enter("key at address", Priority::Ordinary).unwrap()).collect();
        places.iter_mut().for_each(|place| place.count_for("caller").unwrap());
        let mut fifth = bulkhead.enter("key at address", Priority::Ordinary).unwrap();
        assert_eq!(kind(fifth.count_for("caller")), ErrorKind::TooMany);
        drop((places, fifth));
        assert!(bulkhead.0.usage().is_empty());
    }

    #[test]
    fn body_of_an_odd_largest_size_fits() {
        let bulkhead = Bulkhead::new(16, 1_000, 100_000_000);
        assert!(bulkhead.enter("a", Priority::Ordinary).unwrap().body(100_000_000).is_ok());
    }

    #[test]
    fn bodies_have_a_share_and_urgent_ones_a_reserve() {
        let bulkhead = Bulkhead::new(100, 4 * MIB, MIB);
        let mut first = bulkhead.enter("a", Priority::Ordinary).unwrap();
        let room = first.body(MIB).unwrap();
        let mut second = bulkhead.enter("a", Priority::Ordinary).unwrap();
        assert_eq!(kind(second.body(1)), ErrorKind::TooMany);
        let mut others = Vec::new();
        for caller in ["b", "c", "d"] {
            let mut place = bulkhead.enter(caller, Priority::Ordinary).unwrap();
            others.push((place.body(MIB).unwrap(), place));
        }
        let mut last = bulkhead.enter("e", Priority::Ordinary).unwrap();
        assert_eq!(kind(last.body(1_000)), ErrorKind::Unavailable);
        let mut urgent = bulkhead.enter("a", Priority::Urgent).unwrap();
        assert!(urgent.body(1_000).is_ok(), "the ordinary share does not limit urgent calls");
        drop((first, room));
        assert!(second.body(MIB).is_ok());
    }
}
