//! The argument of `--since`.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

use super::parse::moment;
use crate::duration::{DAYS_OR_HOURS, duration};

/// Start of a period that lasts until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// Length of the period.
    Ago(Duration),
    /// Time of the start.
    At(SystemTime),
}

impl Since {
    /// Returns the start of the period; `None` if it lies before the times of the system.
    pub(crate) fn time(self, now: SystemTime) -> Option<Timestamp> {
        match self {
            Self::Ago(length) => now.checked_sub(length).map(Timestamp::from),
            Self::At(start) => Some(start.into()),
        }
    }
}

/// Parses a duration before now, or a time in RFC 3339.
pub(crate) fn since(text: &str) -> Result<Since, String> {
    // A time has a date, a duration has none.
    if text.contains('T') || text.matches('-').count() == 2 {
        return moment(text).map(Since::At);
    }
    duration(DAYS_OR_HOURS)(text).map(Since::Ago)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_starts_at_a_time_or_a_duration_before_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000);
        let seconds = |text: &str| since(text).unwrap().time(now).unwrap().seconds;
        assert_eq!((seconds("2h"), seconds("1970-01-01T01:00:00Z")), (2_800, 3_600));
        for wrong in ["2", "yesterday", "2026-12-01", "-1h"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
