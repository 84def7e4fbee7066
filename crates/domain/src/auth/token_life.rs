//! Lifetime of bearer tokens.

use chrono::TimeDelta;

use crate::{Error, Reason, Timestamp, limits::DEFAULT_TOKEN_DAYS};

/// Returns the expiry of a new token; `None` if it never expires.
///
/// A token without a time expires after [`DEFAULT_TOKEN_DAYS`]: a forgotten token must not stay
/// valid for ever.
pub fn token_expiry(
    asked: Option<Timestamp>,
    never_expires: bool,
    now: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    match (asked, never_expires) {
        (Some(_), true) => {
            let message = "a token either expires at a time or never";
            Err(Error::field(Reason::FieldsExclusive, "never_expires", message))
        }
        (None, true) => Ok(None),
        (Some(at), false) => Ok(Some(at)),
        (None, false) => Ok(Some(now + TimeDelta::days(DEFAULT_TOKEN_DAYS.into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_expires_unless_it_is_said_otherwise() {
        let at = |day: i64| Timestamp::from_timestamp(1_800_000_000 + day * 86_400, 0).unwrap();
        assert_eq!(token_expiry(None, false, at(0)).unwrap(), Some(at(90)));
        assert_eq!(token_expiry(Some(at(7)), false, at(0)).unwrap(), Some(at(7)));
        assert_eq!(token_expiry(None, true, at(0)).unwrap(), None);
        assert!(token_expiry(Some(at(7)), true, at(0)).is_err());
    }
}
