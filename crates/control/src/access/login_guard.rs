//! Bounds the database queries of callers without a valid credential.
//!
//! An unknown credential is remembered for a moment, so its repetition costs no query. An address
//! that presents many unknown credentials gets few queries at the same time, and few calls may wait
//! for one. Known credentials of the address do not wait: clients behind one proxy share it.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::TimeDelta;
use domain::{Error, Reason, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Rates;

/// Time for which an unknown credential is refused without a query. A credential that is created
/// meanwhile is accepted that much later.
const UNKNOWN_FOR: TimeDelta = TimeDelta::seconds(2);
/// Time for which a valid credential does not wait behind unknown ones of its address.
const KNOWN_FOR: TimeDelta = TimeDelta::minutes(10);
/// Unknown credentials that one address may present per second, and in a burst, before its queries
/// are limited.
const FAILURES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
const FAILURE_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// Queries at the same time for credentials from limited addresses.
const LIMITED_QUERIES: usize = 3;
/// Calls at the same time that wait for such a query. Further ones are refused, so that they do not
/// take all places for calls.
const MAX_WAITING: usize = 32 * LIMITED_QUERIES;
/// Maximum number of entries of each kind.
const CAPACITY: usize = 20_000;
/// Length of the IPv6 network that counts as one address: a client can have a whole one.
const IPV6_PREFIX_BITS: u32 = 64;

/// SHA-256 of a credential.
pub(super) type CredentialHash = [u8; 32];

/// Error for a credential that is unknown, expired or revoked.
pub(super) fn unknown_credential(message: &str) -> Error {
    Error::new(Reason::CredentialUnknown, message)
}

/// Recent outcomes of authentications.
#[derive(Debug)]
pub(crate) struct LoginGuard {
    failures: Rates,
    limited_queries: Arc<Semaphore>,
    waiting: Semaphore,
    unknown: Expiring<CredentialHash>,
    known: Expiring<CredentialHash>,
    /// Addresses with too many failures.
    limited: Expiring<String>,
}

impl Default for LoginGuard {
    fn default() -> Self {
        Self {
            failures: Rates::new(FAILURES_PER_SECOND, FAILURE_BURST),
            limited_queries: Arc::new(Semaphore::new(LIMITED_QUERIES)),
            waiting: Semaphore::new(MAX_WAITING),
            unknown: Expiring::default(),
            known: Expiring::default(),
            limited: Expiring::default(),
        }
    }
}

impl LoginGuard {
    /// Waits until the database may be asked about a credential. Hold the permit for the query;
    /// `None` if the query is not limited.
    ///
    /// # Errors
    ///
    /// `CredentialUnknown` if the credential was unknown a moment ago, `Overloaded` if too many
    /// calls wait for a query.
    pub(super) async fn admit(
        &self,
        credential: &CredentialHash,
        address: &str,
        now: Timestamp,
    ) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if self.unknown.contains(credential, now) {
            return Err(unknown_credential("the credential is unknown, expired or revoked"));
        }
        if self.known.contains(credential, now) || !self.limited.contains(&network(address), now) {
            return Ok(None);
        }
        let _place = self.waiting.try_acquire().map_err(|_| {
            let message = "too many credentials wait for their check; try again later";
            Error::new(Reason::Overloaded, message)
        })?;
        Ok(Arc::clone(&self.limited_queries).acquire_owned().await.ok())
    }

    /// Records that a credential is valid.
    pub(super) fn record_known(&self, credential: CredentialHash, now: Timestamp) {
        self.known.insert(credential, now, now + KNOWN_FOR);
    }

    /// Records that a credential is unknown.
    pub(super) fn record_unknown(&self, credential: CredentialHash, address: &str, now: Timestamp) {
        self.unknown.insert(credential, now, now + UNKNOWN_FOR);
        let network = network(address);
        let limited_for = self.failures.take(&network).err();
        if let Some(wait) = limited_for.and_then(|wait| TimeDelta::from_std(wait).ok()) {
            self.limited.insert(network, now, now + wait);
        }
    }
}

/// Address that counts for a client: an IPv4 address, or the network of an IPv6 address.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => {
            let mask = u128::MAX << (u128::BITS - IPV6_PREFIX_BITS);
            Ipv6Addr::from_bits(address.to_bits() & mask).to_string()
        }
        _ => address.to_owned(),
    }
}

/// Bounded set whose entries expire.
#[derive(Debug)]
struct Expiring<K>(Mutex<HashMap<K, Timestamp>>);

impl<K> Default for Expiring<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + std::hash::Hash> Expiring<K> {
    fn contains(&self, key: &K, now: Timestamp) -> bool {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).is_some_and(|until| now < *until)
    }

    /// Adds an entry. A full set loses the expired entries, or else all of them.
    fn insert(&self, key: K, now: Timestamp, until: Timestamp) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CAPACITY {
            entries.retain(|_, until| now < *until);
        }
        if entries.len() >= CAPACITY {
            entries.clear();
        }
        entries.insert(key, until);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const AT: &str = "192.0.2.1";

    fn hash(number: u32) -> CredentialHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[tokio::test]
    async fn unknown_credential_is_refused_for_a_moment() {
        let (guard, now) = (LoginGuard::default(), Timestamp::UNIX_EPOCH);
        guard.record_unknown(hash(1), AT, now);
        for address in [AT, "192.0.2.2"] {
            let refused = guard.admit(&hash(1), address, now).await.unwrap_err();
            assert_eq!(refused.reason, Reason::CredentialUnknown);
        }
        assert!(guard.admit(&hash(2), AT, now).await.unwrap().is_none());
        assert!(guard.admit(&hash(1), AT, now + UNKNOWN_FOR).await.is_ok(), "it may exist by now");
    }

    #[tokio::test]
    async fn address_with_many_unknown_credentials_gets_few_queries() {
        let (guard, now) = (LoginGuard::default(), Timestamp::UNIX_EPOCH);
        guard.record_known(hash(0), now);
        for number in 1..=FAILURE_BURST.get() + 20 {
            guard.record_unknown(hash(number), AT, now);
        }
        let mut permits = Vec::new();
        for number in 0..LIMITED_QUERIES {
            let credential = hash(9_000 + u32::try_from(number).unwrap());
            permits.push(guard.admit(&credential, AT, now).await.unwrap().unwrap());
        }
        assert!(guard.admit(&hash(9_999), AT, now).now_or_never().is_none(), "it waits for a query to end");
        let known = guard.admit(&hash(0), AT, now).now_or_never().unwrap();
        assert!(known.unwrap().is_none(), "a known client behind the same proxy does not wait");
        assert!(guard.admit(&hash(9_999), "192.0.2.2", now).await.unwrap().is_none());
        permits.pop();
        assert!(guard.admit(&hash(9_999), AT, now).await.unwrap().is_some());
        assert!(guard.admit(&hash(9_999), AT, now + TimeDelta::seconds(1)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn excess_call_that_would_wait_for_a_query_is_refused() {
        let (guard, now) = (LoginGuard::default(), Timestamp::UNIX_EPOCH);
        guard.record_known(hash(0), now);
        for number in 1..=FAILURE_BURST.get() + 20 {
            guard.record_unknown(hash(number), AT, now);
        }
        let limit = u32::try_from(LIMITED_QUERIES).unwrap();
        let queries = Arc::clone(&guard.limited_queries).try_acquire_many_owned(limit).unwrap();
        let credential = hash(9_999);
        let mut waiting: Vec<_> =
            (0..MAX_WAITING).map(|_| Box::pin(guard.admit(&credential, AT, now))).collect();
        assert!(waiting.iter_mut().all(|admission| admission.as_mut().now_or_never().is_none()));
        let refused = guard.admit(&credential, AT, now).now_or_never().unwrap().unwrap_err();
        assert_eq!(refused.reason, Reason::Overloaded);
        for (credential, address) in [(hash(0), AT), (credential, "192.0.2.2")] {
            let admitted = guard.admit(&credential, address, now).now_or_never().unwrap();
            assert!(admitted.unwrap().is_none(), "known credentials and other addresses do not wait");
        }
        drop((waiting, queries));
        assert!(guard.admit(&credential, AT, now).await.unwrap().is_some());
    }

    #[test]
    fn network_of_an_ipv6_address_counts_as_one() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2::9"), "2001:db8:1:2::");
        assert_eq!(network(AT), AT);
        assert_eq!(network(""), "");
    }

    #[test]
    fn memory_of_credentials_is_bounded() {
        let (guard, now) = (LoginGuard::default(), Timestamp::UNIX_EPOCH);
        for number in 0..50_000 {
            guard.record_known(hash(number), now);
        }
        assert!(guard.known.0.lock().unwrap().len() <= CAPACITY);
    }
}
