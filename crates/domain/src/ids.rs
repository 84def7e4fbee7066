//! Typed ids. Generated ids are UUIDv7, formatted as 32 hex digits as in the examples of the public
//! API.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use crate::{Error, Reason, Timestamp, error::shorten, limits};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $missing:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Parses the id that a client names. An invalid id is reported as a missing object.
            pub fn find(text: &str) -> Result<Self, Error> {
                let missing = || Error::new(Reason::$missing, concat!("the ", $noun, " does not exist"));
                text.parse().map_err(|_: Error| missing())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Uuid::try_parse(text).map(Self).map_err(|_| {
                    let text = shorten(text);
                    Error::unreadable(format!(concat!("{:?} is not the id of a ", $noun, ": 32 hex digits are expected"), text))
                })
            }
        }
    };
}

impl TaskId {
    /// Returns the creation time from the UUIDv7; `None` for an id that Graywave did not generate.
    pub fn made_at(&self) -> Option<Timestamp> {
        let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
        Timestamp::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
    }
}

impl TaskId {
    /// Returns the smallest id of a task that is accepted at this time, to the millisecond.
    pub fn first_at(time: Timestamp) -> Self {
        let millis = u128::try_from(time.timestamp_millis()).unwrap_or_default();
        Self(Uuid::from_u128(millis << (128 - 48)))
    }
}

/// First hexadecimal digits of a generated id. Such ids form a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdPrefix {
    bits: u128,
    digits: u32,
}

impl IdPrefix {
    /// Number of digits of a whole id.
    pub const MAX_DIGITS: usize = 32;

    /// Returns the smallest id with this prefix.
    pub const fn first(self) -> Uuid {
        Uuid::from_u128(self.bits)
    }

    /// Returns the largest id with this prefix.
    pub fn last(self) -> Uuid {
        Uuid::from_u128(self.bits | u128::MAX.checked_shr(self.digits * 4).unwrap_or_default())
    }
}

impl FromStr for IdPrefix {
    type Err = Error;

    /// Accepts 1 to 32 hexadecimal digits in any letter case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = u32::try_from(text.len()).unwrap_or(u32::MAX);
        if !is_hex || !(1..=Self::MAX_DIGITS).contains(&text.len()) {
            let text = shorten(text);
            return Err(Error::unreadable(format!(
                "{text:?} is not the start of an id: 1 to {} hex digits are expected",
                Self::MAX_DIGITS
            )));
        }
        let bits = u128::from_str_radix(text, 16).unwrap_or_default();
        Ok(Self { bits: bits << (128 - digits * 4), digits })
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $missing:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses the id that a client names. An invalid id is reported as a missing object.
            pub fn find(text: &str) -> Result<Self, Error> {
                let missing = || Error::new(Reason::$missing, concat!("the ", $noun, " does not exist"));
                text.parse().map_err(|_: Error| missing())
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Converts the id to owned text.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            /// Accepts 1 to 128 characters without control characters.
            fn try_from(text: String) -> Result<Self, Error> {
                check_text_id($noun, &text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::try_from(text.to_owned())
            }
        }
    };
}

uuid_id! {
    /// Id of a task. UUIDv7, so a range of ids is a range of time.
    TaskId, "task", TaskNotFound
}
uuid_id! {
    /// Id of a script, a UUIDv7.
    ScriptId, "script", ScriptNotFound
}
uuid_id! {
    /// Id of a batch, unique within its task.
    BatchId, "batch", Internal
}
text_id! {
    /// Id of a project, the tenant.
    ProjectId, "project", ProjectNotFound
}
text_id! {
    /// Id of a desktop, unique within its project.
    DesktopId, "desktop", DesktopNotFound
}
text_id! {
    /// Id of one run of a worker process.
    WorkerId, "worker", WorkerNotFound
}

impl ProjectId {
    /// Prefix of ids that belong to Graywave itself: no project can have one.
    const RESERVED: &str = "graywave:";

    /// Checks that a new project may have this id.
    pub fn check_new(&self) -> Result<(), Error> {
        if !self.0.starts_with(Self::RESERVED) {
            return Ok(());
        }
        let message = format!("the id of a project must not begin with {}", Self::RESERVED);
        Err(Error::unreadable(message).within("project_id"))
    }
}

impl DesktopId {
    /// Returns the id in lower case and Unicode form NFC. Ids with the same canonical form name one
    /// desktop.
    pub fn canonical(&self) -> String {
        canonical(&self.0)
    }
}

/// Returns a text in lower case and Unicode form NFC.
pub(crate) fn canonical(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).nfc().collect()
}

/// Validates a text id. The error names no field: the caller adds it.
fn check_text_id(noun: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::new(Reason::FieldRequired, format!("the id of a {noun} must not be empty")));
    }
    let chars = text.chars().count();
    if chars > limits::MAX_ID_CHARS {
        let message = format!(
            "the id of a {noun} has {chars} characters: at most {} are allowed",
            limits::MAX_ID_CHARS
        );
        return Err(Error::new(Reason::FieldOutOfRange, message));
    }
    if text.chars().any(char::is_control) {
        let message = format!("the id of a {noun} must not contain a control character");
        return Err(Error::unreadable(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_id_says_when_it_was_made() {
        let id: TaskId = "01a22ee6b00070008000000000000000".parse().unwrap();
        assert_eq!(id.made_at().unwrap().to_rfc3339(), "2026-12-01T00:00:00+00:00");
        assert_eq!(TaskId(Uuid::nil()).made_at(), None);
    }

    #[test]
    fn prefix_of_an_id_is_the_range_of_its_ids() {
        let range = |text: &str| {
            let prefix: IdPrefix = text.parse().unwrap();
            (TaskId(prefix.first()).to_string(), TaskId(prefix.last()).to_string())
        };
        assert_eq!(range("01a"), (format!("01a{}", "0".repeat(29)), format!("01a{}", "f".repeat(29))));
        let whole = "01a22ee6b00070008000000000000000";
        assert_eq!(range(&whole.to_uppercase()), (whole.to_owned(), whole.to_owned()));
        for wrong in ["", "0x1", "+1", "patch", &"0".repeat(33)] {
            assert!(wrong.parse::<IdPrefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn first_id_of_a_time_precedes_the_ids_made_then() {
        let id: TaskId = "01a22ee6b00070008000000000000000".parse().unwrap();
        let first = TaskId::first_at(id.made_at().unwrap());
        assert_eq!(first.to_string(), format!("01a22ee6b000{}", "0".repeat(20)));
        assert!(first < id);
    }

    #[test]
    fn a_task_id_is_written_as_32_hex_digits_and_read_back() {
        let id = TaskId(Uuid::from_u128(0x5907_1dbc_0159_1661_d399_0019));
        assert_eq!(id.to_string(), "0000000059071dbc01591661d3990019");
        assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
    }

    #[test]
    fn a_bad_id_is_quoted_but_shortened() {
        let message = "x".repeat(500).parse::<TaskId>().unwrap_err().to_string();
        assert!(message.len() < 160, "{message}");
    }

    #[test]
    fn reserved_id_is_no_new_projects() {
        assert!("graywave:any".parse::<ProjectId>().unwrap().check_new().is_err());
        let project: ProjectId = "graywave".parse().unwrap();
        project.check_new().unwrap();
    }

    #[test]
    fn text_ids_have_bounds() {
        assert!("".parse::<DesktopId>().is_err());
        assert!("d".repeat(128).parse::<DesktopId>().is_ok());
        assert!("d".repeat(129).parse::<DesktopId>().is_err());
        assert!("a\u{0}b".parse::<DesktopId>().is_err());
    }
}
