//! Selection of the output lines that say what went wrong.
//!
//! Progress and traces of commands are no cause. Lines that only repeat the failure, such as
//! `exit status 1`, are no cause either. The patterns come from the output of apt, dnf, pip, npm,
//! docker, curl, Ansible, msiexec, PowerShell, Python and make.

use std::{collections::HashSet, sync::LazyLock};

use regex::{Regex, RegexSet};

/// Number of last bytes of an output that are considered, which bounds the time per output: a
/// scheduler looks for them while it holds the lock of a wave.
const WINDOW_BYTES: usize = 32 * 1_024;
/// Number of last distinct lines that are considered.
const WINDOW_LINES: usize = 1_000;
/// Number of characters of a line that are considered.
pub(super) const MAX_LINE_CHARS: usize = 400;
/// Number of last lines of the best kind that are returned.
const MOST_LINES: usize = 100;
/// Number of lines that make a fingerprint if no line names an error.
const TEXT_LINES: usize = 3;
/// Number of error lines that make a fingerprint.
const ERROR_LINES: usize = 8;

/// Kinds of lines; a later kind says more about the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Progress, separators, and hints that every failure prints.
    Progress,
    /// Commands and stack frames that a shell or an interpreter prints.
    Trace,
    /// A failure without its cause.
    Failure,
    /// Any other text.
    Text,
    /// A line that names an error.
    Error,
}

/// Lines of progress, which do not name an error.
const PROGRESS: [&str; 11] = [
    r"\d\s?%",
    // Tables of curl, bars, spinners, separators.
    r"^[\d\s.,:kKMGTB/s%()-]+$",
    r"^% Total\s|^Dload\s+Upload",
    r"[#=>█▉▊▋▌▍▎▏━╸╺▓▒░]{4}|\[[#=>*. -]+\]",
    r"^[|/\\⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏-](?:\s|$)",
    r"^[-=*_~^#.|+\s]+$",
    // apt and dnf.
    r"^(?:Get|Hit|Ign):\d",
    r"^\(?(?:Selecting previously|Preparing to unpack|Unpacking|Setting up|Processing triggers|Reading (?:database|package|state)|Building dependency tree|Fetched \d|Downloading|Verifying|Installing|Upgrading|Running (?:transaction|scriptlet))",
    // pip.
    r"^(?:Collecting|Using cached|Requirement already|Building wheel|Preparing metadata|Getting requirements|Looking in|Obtaining|Successfully)\b",
    // docker.
    r"^[0-9a-f]{12}: ",
    // Ansible.
    r"^(?:TASK|PLAY|RUNNING HANDLER|PLAY RECAP)\b.*\*$|^(?:ok|changed|skipping|included): |ok=\d+ +changed=\d+",
];
/// Marks of a cut, hints and notices that do not depend on the failure, although they may have
/// words of errors.
const HINT: [&str; 4] = [
    r"^\[\.\.\. \d+ bytes cut \.\.\.\]$",
    r"^\[notice\]|^npm (?:notice|timing|http)|A complete log of this run|^npm (?:ERR!|error)$",
    r"^FAILED - RETRYING|^\.\.\.ignoring",
    r"(?i)^(?:note|hint|see also|for more information)\b|see above for|^run .* for (?:more|details)",
];
/// Traces of shells, PowerShell, Python, Java, JavaScript, .NET and Go.
const TRACE: [&str; 7] = [
    r"^\++ ",
    r"^At (?:line:|[A-Za-z]:\\|/).*char:\d+$",
    r"^(?:Traceback \(most recent|During handling of the above|The above exception was)",
    FRAME,
    r"^at (?:async |new )?[^ ]+ ?\(|^at \S+:\d+",
    r"^\.\.\. \d+ (?:more|common frames)",
    r"^goroutine \d+",
];
/// A frame of a Python traceback. The next line is the source code of the frame.
const FRAME: &str = r#"^File "[^"]*", line \d+"#;
/// Failures without a cause.
const FAILURE: [&str; 7] = [
    r"(?i)\b(?:exit(?:ed)?|returned|terminated|ended|failed)(?: with| an?| error| non-?zero)*(?: exit)?(?: error)?(?: code| status| value)[ :=]*\(?-?(?:0x)?[0-9a-f]*\d[0-9a-f]*\)?[.!]*$",
    r"(?i)(?:^|: )(?:exit(?:ed)?|rc|errno|errorlevel|return (?:value|code)|(?:exit|error) (?:code|status))[ :=]+-?\d+[.!]*$",
    r"(?i)^npm (?:ERR!|error) (?:code \w+$|errno|path|command|cwd|signal|Failed at the|This is probably)",
    r"^make(?:\[\d+\])?: .*Error \d+$",
    r"(?i)^(?:(?:the )?(?:command|script|build|setup|install(?:ation)?|operation|task|job|step|update|deployment) )?(?:error|failed|failure|fatal(?: error)?|abort(?:ed|ing)?)[.!: ]*$",
    r"subprocess-exited-with-error|This error originates from|Errors were encountered while|did not run successfully",
    r"(?i)\breturn value \d+\.$|MainEngineThread is returning",
];
/// Words of errors.
const ERROR: [&str; 7] = [
    r"(?i)\b(?:errors?|err!?|fatal|fail(?:s|ed|ure|ures)?|panic(?:ked)?|critical|emerg|severe)\b",
    r"(?:Error|Exception|Fault|Timeout|Interrupt|SystemExit)\b|\b(?:EACCES|ENOENT|ENOSPC|ECONNREFUSED|ETIMEDOUT|EPERM|EEXIST|EBUSY)\b|\b0x8[0-9A-Fa-f]{7}\b",
    r"^E: |^[EF]\d{4} |^!! ",
    r"(?i)\b(?:denied|refused|forbidden|unauthorized|rejected|expired|invalid|illegal|corrupt(?:ed)?|mismatch|unreachable|unrecognized|unsupported|unresolved|undefined|insufficient|exceeded|killed|terminated|aborted|timed? ?out|timeout|disk full|is full)\b",
    r"(?i)\b(?:cannot|can't|can not|could ?n[o']t|could not|unable to|not (?:found|recognized|permitted|allowed|supported|installed|running|available|a valid)|no (?:such|space|route|matching|module|package)|does ?n[o']t exist|does not|out of memory|segmentation fault|core dumped|in use by|already in use)\b",
    r"错误|失败|无法|找不到|拒绝|异常|不是内部或外部命令|超时|不存在|不可用|不足",
    r"(?i)\b(?:fehler|fehlgeschlagen|erreur|erro|falha)\b|échec|ошибка|Ошибка|エラー|失敗|오류|실패",
];
/// Lines with words of errors that name none: warnings, and counts of zero.
const NO_ERROR: [&str; 4] = [
    r"(?i)^(?:W:|\[?warn(?:ing)?\b|npm warn|\[?(?:info|debug|trace|notice)\b)",
    r"(?i)\b(?:no|without|0) (?:errors?|failures?|failed)\b",
    r"(?i)\b(?:errors?|failures?|failed|unreachable)\s*[=:]\s*0\b",
    r"ok=\d+ +changed=\d+",
];
/// A time and a level of a log before the text.
const STAMP: &str = r"^(?:\[ *\d+\.\d+\]|[\[(]?\d{1,4}[-/:.]\d{1,2}[-/:.]\d[\dT:.,/ +Z-]*[\])]?)[ :]+";

/// Kinds of patterns, in the order in which they take precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Hint,
    Trace,
    Failure,
    NoError,
    Error,
    Progress,
}

struct Patterns {
    /// All patterns, so that a line is searched once.
    all: RegexSet,
    /// Signs of these patterns.
    signs: Vec<Sign>,
    frame: Regex,
    stamp: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let groups: [(Sign, &[&str]); 6] = [
        (Sign::Hint, &HINT),
        (Sign::Trace, &TRACE),
        (Sign::Failure, &FAILURE),
        (Sign::NoError, &NO_ERROR),
        (Sign::Error, &ERROR),
        (Sign::Progress, &PROGRESS),
    ];
    let all =
        groups.iter().flat_map(|(sign, patterns)| patterns.iter().map(move |pattern| (*sign, *pattern)));
    let (signs, patterns): (Vec<Sign>, Vec<&str>) = all.unzip();
    // Word boundaries of Unicode would make the search slow in text that is not ASCII.
    let ascii = patterns.iter().map(|pattern| pattern.replace(r"\b", r"(?-u:\b)"));
    Some(Patterns {
        all: RegexSet::new(ascii).ok()?,
        signs,
        frame: Regex::new(FRAME).ok()?,
        stamp: Regex::new(STAMP).ok()?,
    })
});

/// A line of an output, trimmed, with the offset of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) end: usize,
}

/// The lines of an output that say most about the cause of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TellingLines<'a> {
    /// Distinct lines in the order of the output; empty if it has no line but progress.
    pub(super) lines: Vec<Line<'a>>,
    /// Number of last lines, distinct after normalisation, that make a fingerprint.
    pub(super) number: usize,
}

/// Selects the last lines of the kind that says most about the cause.
pub(super) fn telling_lines(output: &str) -> TellingLines<'_> {
    let lines = classified(output);
    let best = lines.iter().map(|(kind, _)| *kind).max().unwrap_or(Kind::Progress);
    let number = match best {
        Kind::Error => ERROR_LINES,
        Kind::Text | Kind::Failure => TEXT_LINES,
        // The last command or frame.
        Kind::Trace => 1,
        Kind::Progress => return TellingLines::default(),
    };
    let lines = lines.into_iter().rev().filter(|(kind, _)| *kind == best);
    let mut lines: Vec<Line<'_>> = lines.map(|(_, line)| line).take(MOST_LINES).collect();
    lines.reverse();
    TellingLines { lines, number }
}

/// Returns the distinct last lines that are not empty, each with its kind.
fn classified(output: &str) -> Vec<(Kind, Line<'_>)> {
    let mut known = HashSet::new();
    let mut end = output.len();
    let mut lines = Vec::new();
    let mut rest = output.split_inclusive('\n').rev().peekable();
    while let Some(line) =
        rest.next().filter(|_| output.len() - end < WINDOW_BYTES && lines.len() < WINDOW_LINES)
    {
        let text = line.trim();
        if !text.is_empty() && known.insert(text) {
            let is_code =
                line.starts_with("    ") && rest.peek().is_some_and(|before| is_frame(before.trim()));
            lines.push((if is_code { Kind::Trace } else { kind_of(text) }, Line { text, end }));
        }
        end -= line.len();
    }
    lines.reverse();
    lines
}

fn is_frame(text: &str) -> bool {
    PATTERNS.as_ref().is_some_and(|patterns| patterns.frame.is_match(text))
}

fn kind_of(text: &str) -> Kind {
    let Some(patterns) = PATTERNS.as_ref() else { return Kind::Text };
    let cut = text.char_indices().nth(MAX_LINE_CHARS).map_or(text.len(), |(at, _)| at);
    let line = text.get(..cut).unwrap_or(text);
    let has_stamp = line.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '[' | '('));
    let stamp = patterns.stamp.find(line).filter(|_| has_stamp);
    let text =
        stamp.and_then(|stamp| line.get(stamp.end()..)).filter(|rest| !rest.is_empty()).unwrap_or(line);
    let signs: Vec<Sign> =
        patterns.all.matches(text).iter().filter_map(|place| patterns.signs.get(place).copied()).collect();
    let has = |sign| signs.contains(&sign);
    match signs.first() {
        Some(Sign::Hint) => Kind::Progress,
        Some(Sign::Trace) => Kind::Trace,
        Some(Sign::Failure) => Kind::Failure,
        Some(Sign::Error) => Kind::Error,
        Some(Sign::NoError | Sign::Progress) if has(Sign::Progress) => Kind::Progress,
        Some(Sign::NoError | Sign::Progress) | None => Kind::Text,
    }
}

#[cfg(test)]
#[path = "telling_lines_tests.rs"]
mod tests;
