//! Values in words, as the verbs print them.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

/// A time in UTC to the second; empty when it is not given.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    let time = time.and_then(|it| DateTime::<Utc>::from_timestamp(it.seconds, u32::try_from(it.nanos).ok()?));
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// From one time to another, to the second; empty unless both are given.
pub(crate) fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => {
            let seconds = u64::try_from(to.seconds - from.seconds).unwrap_or_default();
            humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
        }
        _ => String::new(),
    }
}

/// `key  value` in lines; what is empty is left out.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let there = facts.iter().filter(|(_, value)| !value.is_empty());
    there.map(|(key, value)| format!("{:<11} {value}\n", format!("{key}:"))).collect()
}

/// `key=value` with commas between.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_are_not_there_are_left_out() {
        assert_eq!(
            facts(&[("a", "1".into()), ("b", String::new()), ("long", "2".into())]),
            "a:          1\nlong:       2\n"
        );
    }

    #[test]
    fn times_are_utc_and_durations_have_units() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert_eq!((time(at(0).as_ref()).as_str(), time(None).as_str()), ("1970-01-01 00:00:00", ""));
        assert_eq!(between(at(10).as_ref(), at(75).as_ref()), "1m 5s");
        assert_eq!(between(at(10).as_ref(), None), "");
    }
}
