//! Formatting of values, as the commands print them.

use prost_types::Timestamp;
use proto::{
    admin::{FailureGroup, ScriptType, Task},
    word,
};

use crate::sanitize::sanitize_line;

/// Formats a time in UTC, to the second; empty without a time.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    time.and_then(proto::time_opt)
        .map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Formats the duration between two times, in whole seconds; empty unless both are given.
pub(crate) fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => {
            let seconds = u64::try_from(to.seconds - from.seconds).unwrap_or_default();
            humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
        }
        _ => String::new(),
    }
}

/// A key and its value, printed as one line.
pub(crate) struct Fact {
    key: &'static str,
    value: String,
}

/// Makes a fact of untrusted text. Control characters become blanks, so that the text cannot
/// control the terminal.
pub(crate) fn fact(key: &'static str, value: impl AsRef<str>) -> Fact {
    Fact { key, value: sanitize_line(value.as_ref()) }
}

/// Makes a fact of trusted text, which may contain colours.
pub(crate) fn painted(key: &'static str, value: String) -> Fact {
    Fact { key, value }
}

/// Minimum width of the keys, in characters, so that different objects have the same layout.
const KEY: usize = 11;

/// Formats facts as lines of `key:  value`, without the empty values.
pub(crate) fn facts(facts: &[Fact]) -> String {
    let there = || facts.iter().filter(|fact| !fact.value.is_empty());
    let width = there().map(|fact| fact.key.chars().count() + 1).max().unwrap_or_default().max(KEY);
    there().map(|Fact { key, value }| format!("{:<width$} {value}\n", format!("{key}:"))).collect()
}

/// Formats a count with its noun: `1 desktop`, `2 desktops`.
pub(crate) fn many(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Formats pairs as `key=value`, separated by commas.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Formats the payload of a task: `SHELL: command`, or `name@revision` for each script.
pub(crate) fn runs(task: &Task) -> String {
    if let Some(command) = &task.command {
        return format!("{}: {}", word::<ScriptType>(command.command_type), command.content);
    }
    let scripts = task.scripts.iter().map(|script| format!("{}@{}", script.name, script.revision));
    scripts.collect::<Vec<_>>().join(", ")
}

/// Formats a reason and a ticket: `reason (ticket)`; empty without both.
pub(crate) fn justification(reason: &str, ticket: &str) -> String {
    match (reason, ticket) {
        (reason, "") => reason.to_owned(),
        ("", ticket) => ticket.to_owned(),
        (reason, ticket) => format!("{reason} ({ticket})"),
    }
}

/// Returns the line that says what went wrong in a group: the last one of its sample, or of its
/// fingerprint where the scripts printed nothing but progress.
pub(crate) fn cause(group: &FailureGroup) -> &str {
    let text = if group.sample.is_empty() { &group.fingerprint } else { &group.sample };
    text.trim_end().lines().last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_that_are_not_there_are_left_out() {
        assert_eq!(
            facts(&[fact("a", "1"), fact("b", ""), fact("long", "2\u{1b}[31m\n")]),
            "a:          1\nlong:       2 [31m \n"
        );
        assert_eq!(
            facts(&[fact("longer than most", "1"), fact("b", "2")]),
            "longer than most: 1\nb:                2\n"
        );
    }

    #[test]
    fn cause_is_the_last_line_of_the_sample_or_the_fingerprint() {
        let cause_of = |sample: &str, fingerprint: &str| {
            let (sample, fingerprint) = (sample.to_owned(), fingerprint.to_owned());
            cause(&FailureGroup { sample, fingerprint, ..FailureGroup::default() }).to_owned()
        };
        assert_eq!(cause_of("one\nE: two\n", "E: <n>"), "E: two");
        assert_eq!(cause_of("", "not reached before <time>"), "not reached before <time>");
        assert_eq!(cause_of("", ""), "");
    }

    #[test]
    fn times_are_utc_and_durations_have_units() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert_eq!((time(at(0).as_ref()).as_str(), time(None).as_str()), ("1970-01-01 00:00:00Z", ""));
        assert_eq!(between(at(10).as_ref(), at(75).as_ref()), "1m 5s");
        assert_eq!(between(at(10).as_ref(), None), "");
    }
}
