//! Places for calls in progress at the gate.

use control::RESERVED_PLACES;
use domain::{Error, Reason};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum number of calls without a certificate whose credentials are being checked. Greater than
/// the number of calls that wait for the query of a limited address.
const MAX_UNAUTHENTICATED: usize = 256;

/// Places for calls in progress. Calls without a certificate have few places of their own until
/// they are authenticated, so that unknown tokens cannot keep certified peers out.
#[derive(Debug)]
pub(crate) struct Entrance {
    in_flight: Semaphore,
    unauthenticated: Semaphore,
}

impl Entrance {
    /// Creates an entrance for this number of calls in progress, and the urgent ones.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        let places = max_in_flight.saturating_add(RESERVED_PLACES).min(Semaphore::MAX_PERMITS);
        Self {
            in_flight: Semaphore::new(places),
            unauthenticated: Semaphore::new(places.min(MAX_UNAUTHENTICATED)),
        }
    }

    /// Takes a place for a call whose credentials are not yet checked.
    ///
    /// # Errors
    ///
    /// `Overloaded` if no place is left.
    pub(super) fn arrive(&self, has_certificate: bool) -> Result<Arrival<'_>, Error> {
        let places = if has_certificate { &self.in_flight } else { &self.unauthenticated };
        Ok(Arrival { entrance: self, place: take(places)?, has_certificate })
    }
}

/// Place of a call whose credentials are not yet checked.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    entrance: &'a Entrance,
    place: SemaphorePermit<'a>,
    has_certificate: bool,
}

impl<'a> Arrival<'a> {
    /// Exchanges the place for one of an authenticated call.
    ///
    /// # Errors
    ///
    /// `Overloaded` if no place is left.
    pub(super) fn enter(self) -> Result<SemaphorePermit<'a>, Error> {
        if self.has_certificate { Ok(self.place) } else { take(&self.entrance.in_flight) }
    }
}

fn take(places: &Semaphore) -> Result<SemaphorePermit<'_>, Error> {
    places.try_acquire().map_err(|_| {
        let message = "too many calls in progress; retry after the delay in RetryInfo";
        Error::new(Reason::Overloaded, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive_all(entrance: &Entrance, has_certificate: bool) -> Vec<Arrival<'_>> {
        std::iter::from_fn(|| entrance.arrive(has_certificate).ok()).collect()
    }

    #[test]
    fn flood_of_unknown_tokens_leaves_certified_peers_room() {
        let entrance = Entrance::new(1_000);
        let mut flood = arrive_all(&entrance, false);
        assert_eq!(flood.len(), MAX_UNAUTHENTICATED);
        assert_eq!(entrance.arrive(false).unwrap_err().reason, Reason::Overloaded);
        let certified = arrive_all(&entrance, true);
        assert_eq!(certified.len(), 1_000 + RESERVED_PLACES);
        let authenticated = flood.pop().unwrap();
        assert_eq!(authenticated.enter().unwrap_err().reason, Reason::Overloaded);
    }

    #[test]
    fn authenticated_call_frees_its_first_place() {
        let entrance = Entrance::new(1_000);
        let mut arrivals = arrive_all(&entrance, false);
        let _place = arrivals.pop().unwrap().enter().unwrap();
        drop(entrance.arrive(false).unwrap());
        let certified = entrance.arrive(true).unwrap().enter().unwrap();
        assert_eq!(entrance.in_flight.available_permits(), 1_000 + RESERVED_PLACES - 2);
        drop(certified);
    }
}
