//! State of a credential in a list.

use std::time::SystemTime;

use prost_types::Timestamp;

use crate::{format::time, output::Cell};

/// Returns the state of a credential: `active`, `expired`, or the time of its revocation.
pub(super) fn state(expire_time: Option<&Timestamp>, revoke_time: Option<&Timestamp>) -> Cell {
    state_at(expire_time, revoke_time, SystemTime::now())
}

fn state_at(expire_time: Option<&Timestamp>, revoke_time: Option<&Timestamp>, now: SystemTime) -> Cell {
    let now = Timestamp::from(now);
    match (revoke_time, expire_time) {
        (Some(_), _) => Cell::word(&format!("revoked {}", time(revoke_time))),
        (None, Some(at)) if (at.seconds, at.nanos) <= (now.seconds, now.nanos) => Cell::word("expired"),
        (None, _) => Cell::word("active"),
    }
}

/// Formats an expiry; `never` for none.
pub(super) fn expiry(expire_time: Option<&Timestamp>) -> String {
    if expire_time.is_some() { time(expire_time) } else { "never".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn credential_is_expired_from_its_expiry_on() {
        let at = |seconds| Timestamp { seconds, nanos: 0 };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let of = |expire: Option<i64>, revoke: Option<i64>| {
            state_at(expire.map(at).as_ref(), revoke.map(at).as_ref(), now)
        };
        assert_eq!((of(None, None), of(Some(11), None)), (Cell::word("active"), Cell::word("active")));
        assert_eq!((of(Some(10), None), of(Some(9), None)), (Cell::word("expired"), Cell::word("expired")));
        assert_eq!(of(Some(9), Some(5)), Cell::word("revoked 1970-01-01 00:00:05Z"));
    }
}
