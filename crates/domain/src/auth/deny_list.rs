//! Rules of the deny-list: certificates that every process refuses although they are valid.

use chrono::TimeDelta;

use crate::{Error, Reason, Timestamp, limits::MAX_DENIED_CERTIFICATES};

/// Time that an entry outlives its certificate, as a margin for clock errors.
pub const MARGIN: TimeDelta = TimeDelta::days(7);

/// Expiry of an entry whose certificate's expiry is unknown: no CA is valid for longer.
pub const UNKNOWN_EXPIRY: TimeDelta = TimeDelta::days(3_650);

/// Returns the version of a changed list: above the previous one, and not below the time in Unix
/// milliseconds.
pub fn next_version(previous: i64, now: Timestamp) -> i64 {
    previous.saturating_add(1).max(now.timestamp_millis())
}

/// Checks that a list with `entries` entries has room for one more.
pub fn check_room(entries: usize) -> Result<(), Error> {
    if entries < MAX_DENIED_CERTIFICATES {
        return Ok(());
    }
    let message = format!(
        "the deny-list is full, its limit is {MAX_DENIED_CERTIFICATES} certificates: allow one of them, or rotate \
         the CA with `graywave ca rotate`"
    );
    Err(Error::new(Reason::DenyListFull, message))
}

/// Checks that a certificate can still be denied: an expired one is refused anyway.
pub fn check_expiry(expires_at: Timestamp, now: Timestamp) -> Result<(), Error> {
    if expires_at > now {
        return Ok(());
    }
    let message = format!("the certificate expired at {expires_at}: it is refused without the deny-list");
    Err(Error::invalid("expire_time", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn version_rises_with_each_change_and_with_the_time() {
        let first = next_version(0, at(0));
        assert_eq!(first, at(0).timestamp_millis());
        assert_eq!(next_version(first, at(0)), first + 1);
        assert_eq!(next_version(first, at(-10)), first + 1, "the clock was set back");
        assert_eq!(next_version(first, at(1)), at(1).timestamp_millis());
        assert_eq!(next_version(i64::MAX, at(1)), i64::MAX);
    }

    #[test]
    fn list_is_bounded_and_takes_valid_certificates_only() {
        check_room(MAX_DENIED_CERTIFICATES - 1).unwrap();
        assert!(check_room(MAX_DENIED_CERTIFICATES).unwrap_err().to_string().contains("is full"));
        check_expiry(at(1), at(0)).unwrap();
        assert!(check_expiry(at(0), at(0)).unwrap_err().to_string().contains("expired"));
    }
}
