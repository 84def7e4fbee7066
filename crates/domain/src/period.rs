//! Times in filters: a time stands for all moments that are written like it.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta};

use crate::{Error, Timestamp};

/// Length of `+08:00`, an offset in RFC 3339.
const OFFSET_CHARS: usize = 6;
/// Smallest difference between two stored times, as a number of decimals of a second.
const STORED_DECIMALS: usize = 6;
const ERROR: &str = "must be a time in RFC 3339, such as 2021-10-01T12:00:00Z or \
                     2021-10-01T20:00:00%2B08:00; in a query, write the + of an offset as %2B";

/// The moments that a filter by time includes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    /// First moment; `None` without a lower bound.
    pub from: Option<Timestamp>,
    /// Last moment; `None` without an upper bound.
    pub until: Option<Timestamp>,
}

impl Period {
    /// Parses both ends of a period, which are names of query parameters with their values.
    ///
    /// An end without a fraction covers its whole second, one with three decimals its whole
    /// millisecond. So a shown time, whose rest was cut off, finds the moment that it was made of.
    pub fn parse(
        (from_name, from): (&'static str, Option<&str>),
        (until_name, until): (&'static str, Option<&str>),
    ) -> Result<Self, Error> {
        let read = |name: &'static str, text: Option<&str>| {
            text.map(moments).transpose().map_err(|error| error.within(name))
        };
        let from = read(from_name, from)?.map(|(first, _)| first);
        Ok(Self { from, until: read(until_name, until)?.map(|(_, last)| last) })
    }

    /// Time until no further moment of the period is to come; `None` if that is over, or further
    /// away than one second.
    ///
    /// A list that is read in several pages waits for it. Otherwise, tasks of the running second
    /// would move the later pages.
    pub fn rest(&self, now: Timestamp) -> Option<std::time::Duration> {
        let rest = self.until? - now;
        (rest < TimeDelta::seconds(1)).then(|| rest.to_std().ok()).flatten().filter(|rest| !rest.is_zero())
    }
}

/// Parses a time into the first and the last stored moment that it stands for.
fn moments(text: &str) -> Result<(Timestamp, Timestamp), Error> {
    let text = with_plus(text);
    let first = DateTime::parse_from_rfc3339(&text).map_err(|_| Error::unreadable(ERROR))?.to_utc();
    let decimals = text
        .split_once('.')
        .map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count().min(STORED_DECIMALS));
    let length_us = (decimals..STORED_DECIMALS).fold(1, |length, _| length * 10);
    Ok((first, first + TimeDelta::microseconds(length_us - 1)))
}

/// Restores the plus sign of an offset. An unescaped `+` in a query means a space. The space before
/// an offset is unambiguous only after a complete time.
fn with_plus(text: &str) -> Cow<'_, str> {
    let complete = "2021-10-01T12:00:00".len();
    match text.len().checked_sub(OFFSET_CHARS) {
        Some(at) if at >= complete && text.as_bytes().get(at) == Some(&b' ') => {
            let (before, offset) = text.split_at(at);
            Cow::Owned(format!("{before}+{}", offset.trim_start()))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> Option<(i64, i64)> {
        moments(text).ok().map(|(first, last)| (first.timestamp_micros(), last.timestamp_micros()))
    }

    #[test]
    fn time_covers_all_moments_that_are_written_like_it() {
        for (text, first, last) in [
            ("1970-01-01T00:00:01Z", 1_000_000, 1_999_999),
            ("1970-01-01T00:00:01.2Z", 1_200_000, 1_299_999),
            ("1970-01-01T00:00:01.234Z", 1_234_000, 1_234_999),
            ("1970-01-01T00:00:01.234567Z", 1_234_567, 1_234_567),
            ("1970-01-01T00:00:01.234567891Z", 1_234_567, 1_234_567),
            ("1970-01-01T08:00:01.5+08:00", 1_500_000, 1_599_999),
            ("1970-01-01t00:00:01z", 1_000_000, 1_999_999),
        ] {
            assert_eq!(micros(text), Some((first, last)), "{text}");
        }
    }

    #[test]
    fn space_before_an_offset_is_a_plus() {
        let expected = micros("2021-10-01T12:00:00Z");
        for text in ["2021-10-01T20:00:00 08:00", "2021-10-01 20:00:00 08:00", "2021-10-01T20:00:00+08:00"] {
            assert_eq!(micros(text), expected, "{text}");
        }
        assert_eq!(micros("2021-10-01T20:00:00.25 08:00"), micros("2021-10-01T12:00:00.25Z"));
    }

    #[test]
    fn ambiguous_time_is_refused_with_the_way_to_write_it() {
        let long = format!("2021-10-01T20:00:00{} 08:00", "\u{4e2d}".repeat(3));
        for text in ["", "yesterday", "2021-10-01", "2021-10-01 08:00", "2021-10-01T12:00:00", &long] {
            let error = Period::parse(("start", None), ("end", Some(text))).unwrap_err();
            assert_eq!(error.field.as_ref().unwrap().to_string(), "end", "{text}");
            assert!(error.message.contains("%2B"), "{text}: {error}");
        }
    }

    #[test]
    fn running_second_of_an_end_is_waited_for() {
        let at = |text: &str| moments(text).unwrap().0;
        let rest = |end: &str| {
            let period = Period::parse(("start", None), ("end", Some(end))).unwrap();
            period.rest(at("2021-10-01T12:00:00.25Z")).map(|rest| rest.as_micros())
        };
        assert_eq!(rest("2021-10-01T12:00:00Z"), Some(749_999));
        assert_eq!(rest("2021-10-01T11:59:59Z"), None);
        assert_eq!(rest("2021-10-01T12:00:01Z"), None);
        assert_eq!(Period::default().rest(at("2021-10-01T12:00:00Z")), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[0-9TZ:. +\u{4e2d}-]{0,40}") {
            if let Ok((first, last)) = moments(&text) {
                prop_assert!(first <= last);
            }
        }

        #[test]
        fn shown_time_is_within_its_own_period(us in 0..4_102_444_800_000_000_i64) {
            let at = Timestamp::from_timestamp_micros(us).unwrap();
            for decimals in [chrono::SecondsFormat::Secs, chrono::SecondsFormat::Millis] {
                let (first, last) = moments(&at.to_rfc3339_opts(decimals, true)).unwrap();
                prop_assert!(first <= at && at <= last);
            }
        }
    }
}
