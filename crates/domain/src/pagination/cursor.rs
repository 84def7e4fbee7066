//! Page tokens: each names the last entry of the previous page, so that a growing list neither
//! repeats nor omits entries.

use std::{fmt::Display, str::FromStr};

use crate::{Error, Reason};

const DEFAULT_PAGE_SIZE: i64 = 100;
/// Maximum number of entries per page.
pub const MAX_PAGE_SIZE: i64 = 1_000;

/// Validates `page_size`.
pub fn size(given: Option<i64>) -> Result<i64, Error> {
    let size = given.unwrap_or(DEFAULT_PAGE_SIZE);
    if (1..=MAX_PAGE_SIZE).contains(&size) {
        return Ok(size);
    }
    Err(Error::out_of_range("page_size", format!("{size} is out of range: 1 to {MAX_PAGE_SIZE}")))
}

/// Parses `page_token`, which is opaque to clients.
pub fn token<T: FromStr>(given: Option<&str>) -> Result<Option<T>, Error> {
    given
        .filter(|text| !text.is_empty())
        .map(|text| {
            let bytes = hex::decode(text).ok();
            let plain = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            plain.and_then(|plain| plain.parse().ok()).ok_or_else(|| {
                let message =
                    "not a page token of this list: pass the token of the previous page, or leave it out";
                Error::field(Reason::PageTokenInvalid, "page_token", message)
            })
        })
        .transpose()
}

/// Returns the token of the page after an entry.
pub fn after(last: String) -> String {
    hex::encode(last)
}

/// Returns the token of the next page; `None` if this page is not full, and therefore the last one.
pub fn next<T>(entries: &[T], size: i64, last: impl Fn(&T) -> String) -> Option<String> {
    let is_full = i64::try_from(entries.len()).unwrap_or(i64::MAX) >= size;
    entries.last().filter(|_| is_full).map(|entry| after(last(entry)))
}

/// Position of a record in its task: ordinal and script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordCursor(pub u32, pub u16);

impl Display for RecordCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for RecordCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ordinal, script) = text.split_once('-').ok_or(())?;
        Ok(Self(ordinal.parse().map_err(|_| ())?, script.parse().map_err(|_| ())?))
    }
}

/// Position in a list that is ordered by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub String);

impl FromStr for Name {
    type Err = ();

    /// Rejects control characters: no valid name contains one, and database texts cannot contain
    /// NUL.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.chars().any(char::is_control) { Err(()) } else { Ok(Self(text.to_owned())) }
    }
}

/// Position in a task's failure groups: number of records and fingerprint id of the last group on
/// the previous page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Largest(pub u32, pub i64);

impl Display for Largest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl FromStr for Largest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (records, fingerprint_id) = text.split_once(' ').ok_or(())?;
        Ok(Self(records.parse().map_err(|_| ())?, fingerprint_id.parse().map_err(|_| ())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_nonsense_is_refused() {
        let made = next(&[RecordCursor(3, 1), RecordCursor(4, 0)], 2, ToString::to_string).unwrap();
        assert_eq!(token::<RecordCursor>(Some(&made)).unwrap(), Some(RecordCursor(4, 0)));
        assert_eq!(next(&[RecordCursor(3, 1)], 2, ToString::to_string), None);
        assert_eq!(token::<RecordCursor>(None).unwrap(), None);
        assert_eq!(token::<RecordCursor>(Some("")).unwrap(), None);
        for bad in ["x", "zz", &hex::encode("1"), &hex::encode([0xff])] {
            assert!(token::<RecordCursor>(Some(bad)).is_err(), "{bad}");
        }
        let named = hex::encode("alice");
        assert_eq!(token::<Name>(Some(&named)).unwrap(), Some(Name("alice".to_owned())));
        assert!(token::<Name>(Some(&hex::encode("a\0"))).is_err());
    }

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(size(None).unwrap(), 100);
        assert!(size(Some(0)).is_err() && size(Some(1_001)).is_err() && size(Some(1_000)).is_ok());
    }
}
