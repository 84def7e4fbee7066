//! Bounds the database queries of callers without a valid credential.
//!
//! An unknown credential is remembered for a moment, so its repetition costs no query. An address
//! that presents many unknown credentials is refused, except for credentials that were valid
//! recently: callers behind one proxy share its address.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::TimeDelta;
use domain::{Error, Reason, Timestamp};

use crate::Rates;

/// Time for which an unknown credential is refused without a query. A credential that is created
/// meanwhile is accepted that much later.
const UNKNOWN_FOR: TimeDelta = TimeDelta::seconds(2);
/// Time for which a valid credential may be presented from an address that is refused.
const KNOWN_FOR: TimeDelta = TimeDelta::minutes(10);
/// Unknown credentials that one address may present per second, and in a burst.
const FAILURES_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
const FAILURE_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// Maximum number of remembered credentials, and of refused addresses.
const CAPACITY: usize = 20_000;

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
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// Whether a credential was known, and how long that is remembered.
    credentials: HashMap<CredentialHash, (bool, Timestamp)>,
    /// End of the refusal of an address.
    refused: HashMap<String, Timestamp>,
}

impl Default for LoginGuard {
    fn default() -> Self {
        Self { failures: Rates::new(FAILURES_PER_SECOND, FAILURE_BURST), recent: Mutex::default() }
    }
}

impl LoginGuard {
    /// Returns whether the database may be asked about a credential.
    ///
    /// # Errors
    ///
    /// `CredentialUnknown` if it was unknown a moment ago, `RateLimited` if its address presented
    /// too many unknown credentials.
    pub(super) fn check(
        &self,
        credential: &CredentialHash,
        address: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let recent = self.recent();
        match recent.credentials.get(credential) {
            Some((true, until)) if now < *until => return Ok(()),
            Some((false, until)) if now < *until => {
                return Err(unknown_credential("the credential is unknown"));
            }
            _ => {}
        }
        if recent.refused.get(address).is_some_and(|until| now < *until) {
            let message = "too many unknown credentials from this address; try again later";
            return Err(Error::new(Reason::RateLimited, message));
        }
        Ok(())
    }

    /// Records that a credential is valid.
    pub(super) fn succeeded(&self, credential: CredentialHash, now: Timestamp) {
        let mut recent = self.recent();
        make_room(&mut recent.credentials, |(_, until)| now < *until);
        recent.credentials.insert(credential, (true, now + KNOWN_FOR));
    }

    /// Records that a credential is unknown.
    pub(super) fn failed(&self, credential: CredentialHash, address: &str, now: Timestamp) {
        let refused_for = self.failures.take(address).err();
        let mut recent = self.recent();
        make_room(&mut recent.credentials, |(_, until)| now < *until);
        recent.credentials.insert(credential, (false, now + UNKNOWN_FOR));
        if let Some(wait) = refused_for.and_then(|wait| TimeDelta::from_std(wait).ok()) {
            make_room(&mut recent.refused, |until| now < *until);
            recent.refused.insert(address.to_owned(), now + wait);
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes entries from a full map: those that no longer count, or else all of them.
fn make_room<K: Eq + std::hash::Hash, V>(entries: &mut HashMap<K, V>, counts: impl Fn(&V) -> bool) {
    if entries.len() >= CAPACITY {
        entries.retain(|_, entry| counts(entry));
    }
    if entries.len() >= CAPACITY {
        entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "192.0.2.1";

    fn hash(number: u16) -> CredentialHash {
        let [high, low] = number.to_be_bytes();
        let mut hash = [0; 32];
        (hash[0], hash[1]) = (high, low);
        hash
    }

    fn reason(checked: Result<(), Error>) -> Option<Reason> {
        checked.err().map(|error| error.reason)
    }

    #[test]
    fn unknown_credential_is_refused_for_a_moment() {
        let (guard, now) = (LoginGuard::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(reason(guard.check(&hash(1), AT, now)), None);
        guard.failed(hash(1), AT, now);
        assert_eq!(reason(guard.check(&hash(1), AT, now)), Some(Reason::CredentialUnknown));
        assert_eq!(reason(guard.check(&hash(1), "192.0.2.2", now)), Some(Reason::CredentialUnknown));
        assert_eq!(reason(guard.check(&hash(2), AT, now)), None);
        assert_eq!(reason(guard.check(&hash(1), AT, now + UNKNOWN_FOR)), None, "it may exist by now");
    }

    #[test]
    fn address_with_many_unknown_credentials_is_refused() {
        let (guard, now) = (LoginGuard::default(), Timestamp::UNIX_EPOCH);
        guard.succeeded(hash(0), now);
        for number in 1..=FAILURE_BURST.get() + 20 {
            guard.failed(hash(u16::try_from(number).unwrap()), AT, now);
        }
        assert_eq!(reason(guard.check(&hash(9_999), AT, now)), Some(Reason::RateLimited));
        assert_eq!(reason(guard.check(&hash(0), AT, now)), None, "a caller behind the same proxy");
        assert_eq!(reason(guard.check(&hash(9_999), "192.0.2.2", now)), None);
        assert_eq!(reason(guard.check(&hash(9_999), AT, now + TimeDelta::seconds(1))), None);
    }

    #[test]
    fn memory_of_credentials_is_bounded() {
        let (guard, now) = (LoginGuard::default(), Timestamp::UNIX_EPOCH);
        for number in 0..=u16::MAX {
            guard.succeeded(hash(number), now);
        }
        assert!(guard.recent().credentials.len() <= CAPACITY);
    }
}
