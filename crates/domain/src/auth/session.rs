//! Lifetime of console sessions.

use chrono::TimeDelta;

use crate::Timestamp;

/// Maximum number of sessions of one principal; a further sign-in ends the least recently used
/// session.
pub const MAX_SESSIONS_PER_PRINCIPAL: i64 = 20;
/// Lifetime of a one-time sign-in code.
pub const SIGN_IN_CODE_LASTS: TimeDelta = TimeDelta::minutes(10);
/// Minimum time between two stored uses of a session: each stored use is a write.
const STORE_USE_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Limits of every session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTerms {
    /// Time without a use after which a session ends.
    pub idle: TimeDelta,
    /// Maximum time from sign-in to end.
    pub max: TimeDelta,
}

impl Default for SessionTerms {
    fn default() -> Self {
        Self { idle: TimeDelta::minutes(30), max: TimeDelta::hours(12) }
    }
}

/// Times of one session, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    /// Time of the sign-in.
    pub created_at: Timestamp,
    /// Last stored use; at most a minute before the last use.
    pub used_at: Timestamp,
    /// Absolute end.
    pub expires_at: Timestamp,
}

impl SessionTimes {
    /// Returns the times of a session that begins now.
    pub fn begin(now: Timestamp, terms: SessionTerms) -> Self {
        Self { created_at: now, used_at: now, expires_at: now + terms.max }
    }

    /// Returns the end of the session unless it is used before.
    pub fn idle_expires_at(self, terms: SessionTerms) -> Timestamp {
        (self.used_at + terms.idle).min(self.expires_at)
    }

    /// Returns whether the session is valid. A shorter idle time in the configuration counts for
    /// open sessions too.
    pub fn is_valid(self, terms: SessionTerms, now: Timestamp) -> bool {
        now < self.idle_expires_at(terms) && now < self.created_at + terms.max
    }

    /// Returns whether a use at this time must be stored.
    pub fn stores_use(self, now: Timestamp) -> bool {
        now - self.used_at >= STORE_USE_EVERY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
    }

    #[test]
    fn session_ends_when_idle_or_old() {
        let terms = SessionTerms::default();
        let begun = SessionTimes::begin(at(0), terms);
        assert_eq!((begun.idle_expires_at(terms), begun.expires_at), (at(30), at(720)));
        assert!(begun.is_valid(terms, at(29)) && !begun.is_valid(terms, at(30)));
        let used = SessionTimes { used_at: at(710), ..begun };
        assert_eq!(used.idle_expires_at(terms), at(720), "use does not extend the absolute end");
        assert!(used.is_valid(terms, at(719)) && !used.is_valid(terms, at(720)));
    }

    #[test]
    fn shorter_terms_end_open_sessions() {
        let begun = SessionTimes::begin(at(0), SessionTerms::default());
        let used = SessionTimes { used_at: at(100), ..begun };
        let terms = SessionTerms { idle: TimeDelta::minutes(5), max: TimeDelta::minutes(103) };
        assert!(used.is_valid(terms, at(102)) && !used.is_valid(terms, at(103)));
        let idle = SessionTimes { used_at: at(90), ..begun };
        assert!(!idle.is_valid(terms, at(95)));
    }

    #[test]
    fn use_is_stored_once_a_minute() {
        let begun = SessionTimes::begin(at(0), SessionTerms::default());
        assert!(!begun.stores_use(at(0) + TimeDelta::seconds(59)));
        assert!(begun.stores_use(at(1)));
    }
}
