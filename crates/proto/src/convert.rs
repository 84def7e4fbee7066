//! Conversions between messages and domain values.

use chrono::{DateTime, TimeZone as _, Utc};

pub use domain::outcome::Outcome as ScriptOutcome;

/// A moment as Unix milliseconds; 0 stands for none.
pub fn unix_ms(moment: Option<DateTime<Utc>>) -> i64 {
    moment.map_or(0, |moment| moment.timestamp_millis())
}

/// The moment that Unix milliseconds name; `None` for 0 and for what no calendar holds.
pub fn unix_ms_opt(ms: i64) -> Option<DateTime<Utc>> {
    if ms == 0 { None } else { Utc.timestamp_millis_opt(ms).single() }
}
