//! Fingerprints of failures: the normalised lines of a script's output that say what went wrong,
//! without the parts that differ between desktops.

use std::{collections::HashSet, sync::LazyLock};

use regex::{Regex, RegexSet};
use sha2::{Digest as _, Sha256};

use super::telling_lines::{MAX_LINE_CHARS, TellingLines, telling_lines};
use crate::{limits, outcome::Outcome, output::plain};

/// Maximum number of lines in the text of a fingerprint.
const LINES: usize = 3;
/// Maximum number of characters in a fingerprint.
const MAX_CHARS: usize = 400;
/// Maximum number of characters in a sample.
const MAX_SAMPLE_CHARS: usize = 2_000;

/// Patterns of parts that differ between desktops, with their placeholders. The first match
/// applies.
const VARIABLE: [(&str, &str); 17] = [
    (r"(?i)\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b", "<id>"),
    (
        r"(?i)\b(?:(?:fe80|f[cd][0-9a-f]{2}|2[0-9a-f]{3})(?::[0-9a-f]{1,4}){0,6}::[0-9a-f:]*|[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7})(?:%\w+)?",
        "<address>",
    ),
    (
        r"\b\d{4}[-/]\d{2}[-/]\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z| ?[+-]\d{2}:?\d{2})?)?",
        "<time>",
    ),
    (
        r"\b\d{1,2}/(?:\d{1,2}|[A-Z][a-z]{2})/\d{2,4}(?:[: ]\d{2}:\d{2}(?::\d{2})?(?: [+-]\d{4})?)?\b",
        "<time>",
    ),
    (
        r"\b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{1,2}|\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)),?(?: \d{4})?(?: \d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)?(?: [+-]\d{4}| [A-Z]{3,4} \d{4})?\b",
        "<time>",
    ),
    (r"\b\d{1,2}:\d{2}(?::\d{2}(?:[.,:]\d+)?)?(?: ?[AaPp][Mm])?\b", "<time>"),
    (r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<address>"),
    (r"\((?:[0-9A-F]{1,4})[:!](?:[0-9A-F]{1,4})\)", "(<n>)"),
    (r#"(?:\b[A-Za-z]:|\\)\\[^\s"'<>|]*"#, "<path>"),
    (r"(?:~|\.{1,2})?(?:/[\w.+@%=~-]+)+/?", "<path>"),
    (r"\btmp(?:\.\w{6,12}|[a-z0-9_]{8})\b", "<path>"),
    (r"\b\d+(?:[.,]\d+)*\b", "<n>"),
    (r"(?i)\b(?:0x[0-9a-f]+|[0-9a-f]{8,})\b", "<hex>"),
    (r"\d+(?:[.,]\d+)*", "<n>"),
    (
        r"<n> (attempt|byte|error|failure|file|host|item|line|minute|package|problem|second|step|test|time|warning)s?\b",
        "<n> $1",
    ),
    (r"\.{4,}|#{4,}|={4,}|-{4,}|\*{4,}|_{4,}|~{4,}", "..."),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    VARIABLE.iter().filter_map(|(pattern, name)| Some((Regex::new(pattern).ok()?, *name))).collect()
});
static ANY: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(VARIABLE.iter().map(|(pattern, _)| pattern)).ok());

/// A failure's fingerprint. Failures with the same fingerprint form a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Hash of outcome, exit code and text.
    pub id: i64,
    /// Normalised end of the output, or of the reason if the output is empty.
    pub text: String,
}

impl Fingerprint {
    /// Returns the fingerprint of all failures beyond a task's limit of groups.
    pub fn other() -> Self {
        Self {
            id: 0,
            text: "all other failures: the task has reached its limit of failure groups".to_owned(),
        }
    }
}

/// Replaces a new fingerprint by [`Fingerprint::other`] once the task has reached its limit of
/// groups. `known` contains the task's fingerprints.
pub fn within_limit<'a>(
    known: &mut HashSet<i64>,
    fingerprints: impl IntoIterator<Item = &'a mut Fingerprint>,
) {
    for fingerprint in fingerprints {
        if !known.contains(&fingerprint.id) && known.len() >= limits::MAX_FAILURE_GROUPS {
            *fingerprint = Fingerprint::other();
        } else {
            known.insert(fingerprint.id);
        }
    }
}

/// Computes the fingerprint of a failed record. Escape sequences, progress, and the order and
/// number of equal lines do not count.
pub fn fingerprint(outcome: Outcome, exit_code: Option<i32>, output: &str, reason: &str) -> Fingerprint {
    let output = plain(output);
    let TellingLines { lines, number } = telling_lines(&output);
    let mut lines = last_distinct(number, lines.iter().map(|line| normalised(line.text)));
    if lines.is_empty() {
        lines.push(normalised(reason));
    }
    let text = lines[lines.len().saturating_sub(LINES)..].join("\n").chars().take(MAX_CHARS).collect();
    lines.sort_unstable();
    let mut hasher = Sha256::new();
    hasher.update(outcome.as_str());
    hasher.update(exit_code.unwrap_or_default().to_be_bytes());
    hasher.update([u8::from(exit_code.is_some())]);
    hasher.update(lines.join("\n"));
    let hash: [u8; 32] = hasher.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    Fingerprint { id: i64::from_be_bytes(first), text }
}

/// Returns a part of an output as the sample of its group: up to 2,000 characters that end with the
/// last line that says what went wrong. It has no escape sequences and no overwritten progress.
/// Empty if the output has no line but progress.
pub fn sample(output: &str) -> String {
    let output = plain(output);
    let end = telling_lines(&output).lines.last().map_or(0, |line| line.end);
    let output = output.get(..end).unwrap_or(&output);
    let skipped = output.chars().count().saturating_sub(MAX_SAMPLE_CHARS);
    output.chars().skip(skipped).collect()
}

/// Keeps the last lines, and of equal lines the last one.
fn last_distinct(number: usize, lines: impl DoubleEndedIterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(number);
    for line in lines.rev() {
        if kept.len() < number && !kept.contains(&line) {
            kept.push(line);
        }
    }
    kept.reverse();
    kept
}

/// Normalises a line: replaces the parts that differ between desktops, and collapses blanks.
fn normalised(line: &str) -> String {
    let line: String = line.chars().take(MAX_LINE_CHARS).collect();
    let mut line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if ANY.as_ref().is_some_and(|any| any.is_match(&line)) {
        for (pattern, name) in PATTERNS.iter() {
            line = pattern.replace_all(&line, *name).into_owned();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(output: &str) -> String {
        fingerprint(Outcome::Failed, Some(1), output, "").text
    }

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(PATTERNS.len(), VARIABLE.len());
        assert!(ANY.is_some());
    }

    #[test]
    fn what_differs_from_desktop_to_desktop_is_taken_out() {
        for (line, expected) in [
            ("disk full: 1234 of 5000 MB", "disk full: <n> of <n> MB"),
            ("2026-11-24T10:11:12.345Z ERROR no route", "<time> ERROR no route"),
            ("[10:11:12] E: lock held", "[<time>] E: lock held"),
            ("cannot open /var/lib/dpkg/lock-frontend: denied", "cannot open <path>: denied"),
            (r"Access to C:\Users\anna\x.txt denied", "Access to <path> denied"),
            ("job 7d444840-9dc0-11d1-b245-5ffdce74fad2 lost", "job <id> lost"),
            ("no answer from 10.0.12.7:443", "no answer from <address>"),
            ("fault at 0x7ffd12 in deadbeef01", "fault at <hex> in <hex>"),
            ("desktop-0012:   too    old", "desktop-<n>: too old"),
            ("nothing to see", "nothing to see"),
            ("Nov 24 10:11:12 E: lock held", "<time> E: lock held"),
            ("Tue, 24 Nov 2026 10:11:12 +0800 gone", "<time> gone"),
            ("[24/Nov/2026:10:11:12 +0000] gone", "[<time>] gone"),
            ("11/24/2026 9:41 PM gone", "<time> <time> gone"),
            ("MSI (s) (A4:5C) [10:11:12:345]: gone", "MSI (s) (<n>) [<time>]: gone"),
            ("no answer from fe80::1ff:fe23:4567:890a%eth0", "no answer from <address>"),
            ("no answer from 2001:db8:0:0:0:ff00:42:8329", "no answer from <address>"),
            ("card 00:1b:63:84:45:e6 lost", "card <id> lost"),
            (r"cannot open \\\\srv-1\share\a.msi", "cannot open <path>"),
            ("cannot open tmp.aB3xYz9Q", "cannot open <path>"),
            ("cannot open tmpab_1x9zq", "cannot open <path>"),
            ("died after 1.25 s, pid 77", "died after <n> s, pid <n>"),
            ("gave up after 3 attempts", "gave up after <n> attempt"),
            ("gave up after 1 attempt", "gave up after <n> attempt"),
            ("Waiting.......... gave up", "Waiting... gave up"),
        ] {
            assert_eq!(text(line), expected, "{line}");
        }
    }

    #[test]
    fn fingerprint_uses_end_of_output_or_else_the_reason() {
        let long = format!("{}\nE: one\n\n  E: two  \nE: three\n\n", "progress\n".repeat(50));
        assert_eq!(text(&long), "E: one\nE: two\nE: three");
        let silent = fingerprint(Outcome::Undelivered, None, "\n \n", "not reached before 2026-11-24");
        assert_eq!(silent.text, "not reached before <time>");
        assert_eq!(sample(&"ab".repeat(MAX_SAMPLE_CHARS)).chars().count(), MAX_SAMPLE_CHARS);
    }

    #[test]
    fn outcome_and_exit_code_tell_groups_apart() {
        let id = |outcome, exit_code, output| fingerprint(outcome, exit_code, output, "").id;
        let one = id(Outcome::Failed, Some(1), "x 1");
        assert_eq!(one, id(Outcome::Failed, Some(1), "x 2"));
        for other in [
            id(Outcome::Failed, Some(2), "x 1"),
            id(Outcome::Timeout, None, "x 1"),
            id(Outcome::Failed, None, "x 1"),
            id(Outcome::Failed, Some(1), "y 1"),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(id(Outcome::Failed, Some(0), "x"), id(Outcome::Failed, None, "x"));
    }

    #[test]
    fn colours_and_progress_do_not_count() {
        let id = |output: &str| fingerprint(Outcome::Failed, Some(1), output, "").id;
        let one = id("step\nE: disk full\n");
        for output in [
            "step\n\u{1b}[31mE:\u{1b}[0m disk full\u{1b}[K\n",
            "step\n 1%\r37%\rE: disk full\n",
            "step\r\nE: disk full\r\n",
            "\u{1b}]0;apt\u{7}step\n\u{1b}[1mE: disk\u{1b}[m full",
        ] {
            assert_eq!(id(output), one, "{output:?}");
        }
        assert_eq!(sample("1%\r99%\n\u{1b}[31mE: disk full\u{1b}[0m\n"), "99%\nE: disk full\n");
    }

    #[test]
    fn progress_order_and_repetition_do_not_count() {
        let id = |output: &str| fingerprint(Outcome::Failed, Some(1), output, "exit code 1").id;
        let one = id("E: disk full\nE: no route\n");
        for output in [
            "E: no route\nE: disk full\n",
            "E: no route\nE: disk full\nE: no route\nE: disk full\n",
            "Downloading 10%\nE: disk full\n[####      ] 40%\nE: no route\n\n100%\nexit 1\n",
            "+ apt-get install x\nGet:1 http://a b\nE: disk full\nE: no route\n1 2k 0 0:00:01\n",
            &format!("E: disk full\nE: no route\n{}", "E: no route\n".repeat(200)),
            "\u{1b}[31mE: disk full\u{1b}[0m\n 1%\r 2%\rE: no route\n",
        ] {
            assert_eq!(id(output), one, "{output:?}");
        }
        let retried = |times: u32| {
            let retries: String = (0..times).map(|time| format!("error: attempt {time} failed\n")).collect();
            id(&format!("E: no route\n{retries}"))
        };
        assert_eq!(retried(2), retried(20));
        assert_eq!(id("one\ntwo\n"), id("two\none\ntwo\n"));
        let silent = id("");
        for output in ["Downloading 10%\n", "[##  ] 3 MB\n-----\n", " \n99 %\n"] {
            assert_eq!(id(output), silent, "{output:?}");
        }
        assert_ne!(one, id("E: disk full\n"));
    }

    #[test]
    fn sample_ends_with_the_line_that_names_the_error() {
        let long = format!("start\nE: disk full\n{}exit 1\n", "100%\n".repeat(2_000));
        assert_eq!(sample(&long), "start\nE: disk full\n");
        assert_eq!(sample("10%\n20%\n"), "");
        assert_eq!(sample("one\ntwo"), "one\ntwo");
    }

    #[test]
    fn death_by_signal_differs_from_other_signals() {
        let id = |exit_code| fingerprint(Outcome::Failed, Some(exit_code), "x", "").id;
        assert_ne!(id(128 + 9), id(128 + 11));
        assert_eq!(id(128 + 9), id(128 + 9));
    }

    proptest! {
        #[test]
        fn any_output_has_a_bounded_signature_and_numbers_never_matter(output in any::<String>(), number in any::<u64>()) {
            let found = fingerprint(Outcome::Failed, None, &output, "r");
            prop_assert!(found.text.chars().count() <= MAX_CHARS);
            let with = |number: u64| text(&format!("code {number} at step {}", number / 3));
            prop_assert_eq!(with(number), with(5));
        }
    }

    #[test]
    fn a_task_has_so_many_groups_and_one_of_all_others() {
        let of = |number: usize| Fingerprint { id: i64::try_from(number).unwrap(), text: "x".into() };
        let mut known: HashSet<i64> = (1..i64::try_from(limits::MAX_FAILURE_GROUPS).unwrap()).collect();
        let mut fingerprints = [of(2_000), of(2_001), of(5), of(2_000)];
        within_limit(&mut known, &mut fingerprints);
        assert_eq!(fingerprints, [of(2_000), Fingerprint::other(), of(5), of(2_000)]);
        let mut again = [Fingerprint::other(), of(2_002)];
        within_limit(&mut known, &mut again);
        assert_eq!(again, [Fingerprint::other(), Fingerprint::other()]);
    }
}
