//! Durations of the command line. Each has a unit, so that no number is taken for another unit.

use std::time::Duration;

use domain::limits::MAX_ENROLMENT_TOKEN_HOURS;

/// The two units that a number without a unit most likely has: the suffix and the plural noun.
type LikelyUnits = [(&'static str, &'static str); 2];

/// Units of a time limit or a pause.
pub(crate) const MINUTES_OR_SECONDS: LikelyUnits = [("m", "minutes"), ("s", "seconds")];
/// Units of a lifetime.
pub const DAYS_OR_HOURS: LikelyUnits = [("d", "days"), ("h", "hours")];

/// Returns a parser of durations, like `90s`, `5m`, `1h30m` or `2d`. It refuses a number without a
/// unit and names both meanings; 0 needs no unit.
pub fn duration(
    units: LikelyUnits,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let text = text.trim();
        if text == "0" {
            return Ok(Duration::ZERO);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let [(first, firsts), (second, seconds)] = units;
            return Err(format!(
                "{text} has no unit: use {text}{first} for {text} {firsts}, or {text}{second} for {text} {seconds}"
            ));
        }
        humantime::parse_duration(text)
            .map_err(|error| format!("{error}: expected a duration like 90s, 5m, 1h30m or 2d"))
    }
}

/// Parses a duration in whole seconds.
pub(crate) fn seconds(text: &str) -> Result<i64, String> {
    whole(duration(MINUTES_OR_SECONDS)(text)?, 1, "seconds, like 90s or 5m")
}

/// Parses a duration in whole minutes. The API has no shorter unit.
pub(crate) fn minutes(text: &str) -> Result<i64, String> {
    whole(duration(MINUTES_OR_SECONDS)(text)?, 60, "minutes, like 5m or 2h")
}

/// Parses the lifetime of an enrolment token: whole hours.
///
/// # Errors
///
/// No unit, not a whole number of hours, or outside 1 hour to 720 hours.
pub fn enrolment_hours(text: &str) -> Result<i64, String> {
    let hours = whole(duration(DAYS_OR_HOURS)(text)?, 3_600, "hours, like 72h or 3d")?;
    match hours {
        1..=MAX_ENROLMENT_TOKEN_HOURS => Ok(hours),
        _ => Err(format!("expected a duration from 1h to {MAX_ENROLMENT_TOKEN_HOURS}h, like 72h")),
    }
}

/// Returns a duration as a number of units of `unit_seconds`; fails for a fraction.
fn whole(duration: Duration, unit_seconds: u64, expected: &str) -> Result<i64, String> {
    if duration.subsec_nanos() != 0 || !duration.as_secs().is_multiple_of(unit_seconds) {
        return Err(format!("expected whole {expected}"));
    }
    i64::try_from(duration.as_secs() / unit_seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn duration_has_a_unit() {
        assert_eq!((seconds("90s"), seconds("10m"), seconds("1h30m")), (Ok(90), Ok(600), Ok(5_400)));
        assert_eq!((minutes("5m"), minutes("2h"), minutes("1h 30m")), (Ok(5), Ok(120), Ok(90)));
        assert_eq!((seconds("0"), minutes("0s")), (Ok(0), Ok(0)));
        assert_eq!(minutes("90s"), Err("expected whole minutes, like 5m or 2h".to_owned()));
        assert_eq!(seconds("1500ms"), Err("expected whole seconds, like 90s or 5m".to_owned()));
        for wrong in ["", "soon", "-5", "-5m", "5x", "m"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bare_number_is_refused_with_both_meanings() {
        let expected = "5 has no unit: use 5m for 5 minutes, or 5s for 5 seconds";
        assert_eq!((seconds("5"), minutes(" 5 ")), (Err(expected.to_owned()), Err(expected.to_owned())));
        let days = duration(DAYS_OR_HOURS)("30");
        assert_eq!(days, Err("30 has no unit: use 30d for 30 days, or 30h for 30 hours".to_owned()));
    }

    #[test]
    fn enrolment_token_lives_for_whole_hours_within_its_limit() {
        assert_eq!((enrolment_hours("72h"), enrolment_hours("3d")), (Ok(72), Ok(72)));
        for wrong in ["72", "90m", "0", "31d", "-1h"] {
            assert!(enrolment_hours(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[0-9a-z .-]{0,24}") {
            drop((seconds(&text), minutes(&text)));
        }

        #[test]
        fn written_duration_is_read_back(seconds in 0_u32..100_000_000) {
            let written = humantime::format_duration(Duration::from_secs(seconds.into())).to_string();
            prop_assert_eq!(super::seconds(&written), Ok(i64::from(seconds)));
        }
    }
}
