//! Values in words, as the verbs print them.

use prost_types::Timestamp;
use proto::{
    admin::{ScriptType, Task},
    word,
};

use crate::sanitize::sanitize_line;

/// A time in UTC to the second; empty when it is not given.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    time.and_then(proto::time_opt)
        .map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string())
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

/// Something that is told of a thing, as a line.
pub(crate) struct Fact {
    key: &'static str,
    value: String,
}

/// A fact. It may be in words of people and desktops, which must not control the terminal.
pub(crate) fn fact(key: &'static str, value: impl AsRef<str>) -> Fact {
    Fact { key, value: sanitize_line(value.as_ref()) }
}

/// A fact in words of ours, which have colours.
pub(crate) fn painted(key: &'static str, value: String) -> Fact {
    Fact { key, value }
}

/// The narrowest column that keys have, so that different things look alike.
const KEY: usize = 11;

/// `key:  value` in lines; what is empty is left out.
pub(crate) fn facts(facts: &[Fact]) -> String {
    let there = || facts.iter().filter(|fact| !fact.value.is_empty());
    let width = there().map(|fact| fact.key.chars().count() + 1).max().unwrap_or_default().max(KEY);
    there().map(|Fact { key, value }| format!("{:<width$} {value}\n", format!("{key}:"))).collect()
}

/// So many of something: `1 desktop`, `2 desktops`.
pub(crate) fn many(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `key=value` with commas between.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The command or the scripts that a task runs, in a few words.
pub(crate) fn runs(task: &Task) -> String {
    if let Some(command) = &task.command {
        return format!("{}: {}", word::<ScriptType>(command.command_type), command.content);
    }
    let scripts = task.scripts.iter().map(|script| format!("{}@{}", script.name, script.revision));
    scripts.collect::<Vec<_>>().join(", ")
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
    fn times_are_utc_and_durations_have_units() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        assert_eq!((time(at(0).as_ref()).as_str(), time(None).as_str()), ("1970-01-01 00:00:00Z", ""));
        assert_eq!(between(at(10).as_ref(), at(75).as_ref()), "1m 5s");
        assert_eq!(between(at(10).as_ref(), None), "");
    }
}
