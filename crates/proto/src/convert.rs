//! Conversions between messages and domain values.

use std::time::Duration;

use chrono::{DateTime, TimeZone as _, Utc};
use prost::Message as _;
use tonic::Code;

pub use domain::outcome::Outcome as ScriptOutcome;

use domain::{
    ErrorKind, Reason,
    desktop::{Certificate, DesktopFacts},
    limits,
};

use crate::types::{Desktop, Time};

impl Desktop {
    /// Converts the desktop of a message to domain facts. NUL characters are removed from its
    /// texts.
    ///
    /// # Errors
    ///
    /// When an id is malformed, a text exceeds its limit or a time is out of range.
    pub fn facts(self) -> Result<DesktopFacts, domain::Error> {
        if self.attach.as_ref().is_some_and(|attach| attach.encoded_len() > limits::MAX_ATTACH_BYTES) {
            let message = format!("a signed attach has at most {} bytes", limits::MAX_ATTACH_BYTES);
            return Err(domain::Error::out_of_range("attach", message));
        }
        // Postgres text cannot hold NUL.
        let clean = |text: String| if text.contains('\0') { text.replace('\0', "") } else { text };
        let facts = DesktopFacts {
            project_id: self.project_id.parse()?,
            desktop_id: self.desktop_id.parse()?,
            computer_name: clean(self.computer_name),
            os_host_name: clean(self.os_host_name),
            os_type: clean(self.os_type),
            os_version: clean(self.os_version),
            // A newer agent may know other words.
            containment: self.containment.parse().ok(),
            ip_address: clean(self.ip_address),
            pool_id: clean(self.pool_id),
            availability_zone: clean(self.availability_zone),
            agent_version: clean(self.agent_version),
            tags: self.tags.into_iter().map(|(key, value)| (clean(key), clean(value))).collect(),
            time_zone: clean(self.time_zone),
            agent_id: clean(self.agent_id),
            incarnation: self.incarnation.min(i64::MAX.unsigned_abs()),
            run_id: clean(self.run_id),
            boot_id: clean(self.boot_id),
            connected_at: unix_ms_in_range("connected_at_unix_ms", self.connected_at_unix_ms)?
                .unwrap_or_default(),
            certificate: self.certificate.map(|shown| shown.facts(clean)).transpose()?,
            attach: None,
        };
        facts.check()?;
        Ok(facts)
    }
}

impl crate::types::Certificate {
    fn facts(self, clean: impl Fn(String) -> String) -> Result<Certificate, domain::Error> {
        let moment = |field, ms| Ok(unix_ms_in_range(field, ms)?.unwrap_or_default());
        Ok(Certificate {
            serial: clean(self.serial),
            not_before: moment("certificate.not_before_unix_ms", self.not_before_unix_ms)?,
            not_after: moment("certificate.not_after_unix_ms", self.not_after_unix_ms)?,
        })
    }
}

impl Time {
    /// Creates a time with its maximum error in either direction, rounded up to whole milliseconds.
    pub fn new(now: DateTime<Utc>, error: Duration) -> Self {
        let error_ms = u32::try_from(error.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX);
        Self { now_unix_ms: unix_ms(Some(now)), error_ms }
    }

    /// Time and maximum error; `None` if the message holds no valid time.
    pub fn read(&self) -> Option<(DateTime<Utc>, Duration)> {
        Some((unix_ms_opt(self.now_unix_ms)?, Duration::from_millis(u64::from(self.error_ms))))
    }
}

/// Converts a moment to Unix milliseconds; `None` becomes 0.
pub fn unix_ms(moment: Option<DateTime<Utc>>) -> i64 {
    moment.map_or(0, |moment| moment.timestamp_millis())
}

/// Converts Unix milliseconds to a moment; `None` for 0 and for values that chrono cannot
/// represent.
pub fn unix_ms_opt(ms: i64) -> Option<DateTime<Utc>> {
    if ms == 0 { None } else { Utc.timestamp_millis_opt(ms).single() }
}

/// Converts Unix milliseconds from a peer to a moment; `None` for 0.
///
/// # Errors
///
/// When the moment is outside the years 1970 to 9999, which is the range that both Postgres and RFC
/// 3339 can represent.
pub fn unix_ms_in_range(field: &'static str, ms: i64) -> Result<Option<DateTime<Utc>>, domain::Error> {
    if (0..=limits::MAX_UNIX_MS).contains(&ms) {
        return Ok(unix_ms_opt(ms));
    }
    let message = format!("{ms} is out of range: 0 to {} (years 1970 to 9999)", limits::MAX_UNIX_MS);
    Err(domain::Error::out_of_range(field, message))
}

/// Maps the reason of a failure to a gRPC code; the only such mapping.
pub const fn code(reason: Reason) -> Code {
    match reason {
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::PathNotFound => Code::Unimplemented,
        other => code_of_kind(other.kind()),
    }
}

const fn code_of_kind(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::KeyReused => Code::AlreadyExists,
        ErrorKind::TooMany => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    }
}

/// Converts a moment to a protobuf timestamp; `None` stays `None`.
pub fn time(moment: Option<DateTime<Utc>>) -> Option<prost_types::Timestamp> {
    moment.map(|moment| prost_types::Timestamp {
        seconds: moment.timestamp(),
        // chrono counts a leap second as more than 999,999,999 nanoseconds.
        nanos: i32::try_from(moment.timestamp_subsec_nanos().min(999_999_999)).unwrap_or_default(),
    })
}

/// Converts a protobuf timestamp to a moment; `None` if chrono cannot represent it.
pub fn time_opt(timestamp: &prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).ok()?)
}
