//! Parsers for values of flags: 5, 10%, rest, 2%/50, 90s.

use std::time::SystemTime;

use chrono::DateTime;
use proto::admin::{FailThreshold, WaveSpec, Window};

/// Parses `10%` as 10; `None` without a percent sign.
fn percent(text: &str) -> Option<Result<f64, String>> {
    let number = text.strip_suffix('%')?;
    Some(
        number
            .trim()
            .parse()
            .map_err(|_| format!("invalid percentage {text:?}: expected a value like 10% or 2.5%")),
    )
}

fn count(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("invalid number {text:?}"))
}

/// Parses the size of a wave: `5`, `10%` or `rest`.
pub(super) fn size(text: &str) -> Result<WaveSpec, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("rest") {
        return Ok(WaveSpec { rest: Some(true), ..WaveSpec::default() });
    }
    match percent(text) {
        Some(percent) => Ok(WaveSpec { percent: Some(percent?), ..WaveSpec::default() }),
        None => {
            let count =
                count(text).map_err(|_| format!("invalid wave size {text:?}: expected 5, 10% or rest"))?;
            Ok(WaveSpec { count: Some(count), ..WaveSpec::default() })
        }
    }
}

/// Parses the size of the gray wave: `5` or `10%`.
pub(super) fn share(text: &str) -> Result<WaveSpec, String> {
    match size(text) {
        Ok(it) if it.count == Some(0) || it.percent.is_some_and(|percent| percent <= 0.0) => {
            Err("a gray wave needs at least 1 desktop: omit --canary to run without one".to_owned())
        }
        Ok(it @ WaveSpec { rest: None, .. }) => Ok(it),
        _ => Err(format!("invalid gray wave size {text:?}: expected 5 or 10%")),
    }
}

/// Parses a percentage with or without its sign: `95` or `95%`.
pub(super) fn share_of_wave(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim();
    number.parse().map_err(|_| format!("invalid percentage {text:?}: expected 95 or 95%"))
}

/// Parses a time in RFC 3339, which includes its offset from UTC.
pub(super) fn moment(text: &str) -> Result<SystemTime, String> {
    let moment = DateTime::parse_from_rfc3339(text.trim());
    moment.map(SystemTime::from).map_err(|_| {
        format!(
            "invalid time {text:?}: expected RFC 3339, like 2026-12-01T00:00:00Z or 2026-12-01T00:00:00+02:00"
        )
    })
}

/// Parses the failures that halt a rollout: `2`, `2%`, or `2%/50`, which applies from 50 results
/// on.
pub(super) fn threshold(text: &str) -> Result<FailThreshold, String> {
    let (amount, min_results) = match text.split_once('/') {
        Some((amount, results)) => (amount, Some(count(results)?)),
        None => (text, None),
    };
    match percent(amount) {
        Some(percent) => Ok(FailThreshold { percent: Some(percent?), min_results, count: None }),
        None if min_results.is_some() => Err(format!(
            "invalid threshold {text:?}: only a percentage takes a minimum of results, like 2%/50"
        )),
        None => {
            let count =
                count(amount).map_err(|_| format!("invalid threshold {text:?}: expected 2, 2% or 2%/50"))?;
            Ok(FailThreshold { count: Some(count), ..FailThreshold::default() })
        }
    }
}

/// Parses a wave: its size, and an optional threshold after a colon: `10%:2` or `rest:2%/50`.
pub(super) fn wave(text: &str) -> Result<WaveSpec, String> {
    let (of_size, of_threshold) = match text.split_once(':') {
        Some((size, threshold)) => (size, Some(threshold)),
        None => (text, None),
    };
    let fail_threshold = of_threshold.map(threshold).transpose()?;
    Ok(WaveSpec { fail_threshold, ..size(of_size)? })
}

/// Parses the daily window for starts: `22:00-05:00` in each desktop's local time, or
/// `22:00-05:00@Europe/Berlin`.
pub(super) fn window(text: &str) -> Result<Window, String> {
    let (hours, time_zone) = text.split_once('@').unwrap_or((text, ""));
    let (from, to) = hours.split_once('-').ok_or_else(|| {
        format!("invalid window {text:?}: expected 22:00-05:00 or 22:00-05:00@Europe/Berlin")
    })?;
    Ok(Window { from: from.trim().to_owned(), to: to.trim().to_owned(), time_zone: time_zone.to_owned() })
}

/// Parses a pair of key and value: `UNDELIVERED=ignore`.
///
/// # Errors
///
/// Without a key or an equals sign; the text names the expected form.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("invalid pair {text:?}: expected KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_wave_is_a_size_with_or_without_a_threshold() {
        let threshold = |count, percent, min_results| Some(FailThreshold { count, percent, min_results });
        let of = |count, percent, rest, fail_threshold| WaveSpec { count, percent, rest, fail_threshold };
        assert_eq!(wave("5"), Ok(of(Some(5), None, None, None)));
        assert_eq!(wave("2.5%"), Ok(of(None, Some(2.5), None, None)));
        assert_eq!(wave("5:2"), Ok(of(Some(5), None, None, threshold(Some(2), None, None))));
        assert_eq!(wave("rest:2%/50"), Ok(of(None, None, Some(true), threshold(None, Some(2.0), Some(50)))));
        for wrong in ["", "five", "5:", "5:x", "x%", "5:2/50", "5 %%"] {
            assert!(wave(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_has_a_zone_and_a_share_may_have_its_sign() {
        let unix = |text: &str| {
            moment(text).map(|it| it.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).ok()
        };
        assert_eq!(unix("1970-01-02T00:00:00Z"), Some(86_400));
        assert_eq!(unix("1970-01-02T00:00:00+02:00"), Some(79_200));
        assert_eq!((unix("1970-01-02T00:00:00"), unix("tomorrow")), (None, None));
        assert_eq!((share_of_wave("95"), share_of_wave("95%")), (Ok(95.0), Ok(95.0)));
        assert!(share_of_wave("many").is_err());
    }

    #[test]
    fn a_window_has_a_time_zone_or_each_desktop_its_own() {
        let of = |from: &str, to: &str, zone: &str| Window {
            from: from.into(),
            to: to.into(),
            time_zone: zone.into(),
        };
        assert_eq!(window("22:00-05:00"), Ok(of("22:00", "05:00", "")));
        assert_eq!(window("22:00-05:00@Europe/Berlin"), Ok(of("22:00", "05:00", "Europe/Berlin")));
        assert!(window("22:00").is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_breaks_it(text in "[0-9a-z%:/.@= -]{0,12}") {
            drop((wave(&text), threshold(&text), window(&text), pair(&text)));
        }
    }
}
