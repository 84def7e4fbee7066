//! The text that desktops run. It is derived from the content, which stays as its author sent it.

use std::borrow::Cow;

use super::ScriptType;
use crate::{Error, FieldPath};

/// Character that some editors put before a text. It is no part of the text.
pub const BYTE_ORDER_MARK: char = '\u{feff}';
/// First characters of UTF-16 that was decoded as something else: swapped bytes, Latin-1, and
/// replacement characters.
const UTF_16_MARKS: [char; 5] = [BYTE_ORDER_MARK, '\u{fffe}', '\u{ff}', '\u{fe}', '\u{fffd}'];
/// Number of characters that decide whether a text is UTF-16.
const UTF_16_CHARS: usize = 16;

/// Returns the text of a script that is signed and executed.
///
/// Byte order marks at the start are removed: an interpreter takes them for a part of the first
/// word, and the kernel sees no `#!`. A SHELL script whose lines all end with CRLF gets LF: a shell
/// reads the carriage return as text. Everything else stays, also mixed line ends, because one of
/// the two kinds may be data.
pub fn executable(script_type: ScriptType, content: &str) -> Cow<'_, str> {
    let text = content.trim_start_matches(BYTE_ORDER_MARK);
    match script_type {
        ScriptType::Shell if line_ends(text) == LineEnds::Crlf => Cow::Owned(with_line_feeds(text)),
        ScriptType::Shell | ScriptType::Powershell | ScriptType::Bat => Cow::Borrowed(text),
    }
}

/// Returns whether a script runs with carriage returns that its shell reads as text: some of its
/// lines end with CRLF, but not all.
pub fn has_mixed_line_ends(script_type: ScriptType, content: &str) -> bool {
    let text = content.trim_start_matches(BYTE_ORDER_MARK);
    script_type == ScriptType::Shell && line_ends(text) == LineEnds::Mixed
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnds {
    /// No line ends with a carriage return.
    Lf,
    /// Every line ends with carriage return and line feed.
    Crlf,
    /// Both kinds, or carriage returns without any line feed.
    Mixed,
}

/// Classifies the ends of all lines. A carriage return at the very end is a CRLF whose line feed
/// was cut off, as `$(cat FILE)` does. The end of a last line without either says nothing.
fn line_ends(text: &str) -> LineEnds {
    let Some((lines, last)) = text.rsplit_once('\n') else {
        let line = text.trim_end_matches('\r');
        return match (line.contains('\r'), line.len() < text.len()) {
            (true, _) => LineEnds::Mixed,
            (false, true) => LineEnds::Crlf,
            (false, false) => LineEnds::Lf,
        };
    };
    let total = lines.split('\n').count() + usize::from(last.ends_with('\r'));
    let crlf = lines.split('\n').chain([last]).filter(|line| line.ends_with('\r')).count();
    match crlf {
        0 => LineEnds::Lf,
        crlf if crlf == total => LineEnds::Crlf,
        _ => LineEnds::Mixed,
    }
}

/// Replaces the ends of lines that all end with CRLF. Repeated carriage returns, the result of
/// several conversions, go as well.
fn with_line_feeds(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\r', '\n']);
        result.push_str(content);
        if content.len() < line.len() {
            result.push('\n');
        }
    }
    result
}

/// Refuses content that no interpreter can run: UTF-16, other text with NUL characters, and text
/// that is empty without its byte order mark. Errors name `field`.
pub(super) fn check_encoding(field: impl Into<FieldPath>, content: &str) -> Result<(), Error> {
    if is_utf_16(content) {
        return Err(Error::invalid(field, "the text is UTF-16: save it as UTF-8"));
    }
    if let Some(place) = content.chars().position(|c| c == '\0') {
        let message = format!("must not contain a NUL character; character {} is one", place + 1);
        return Err(Error::invalid(field, message));
    }
    if content.chars().all(|c| c == BYTE_ORDER_MARK) {
        return Err(Error::required(field, "must have more than a byte order mark"));
    }
    Ok(())
}

/// Returns whether a text is UTF-16 that was decoded as another encoding: every second character is
/// NUL.
fn is_utf_16(content: &str) -> bool {
    if content.starts_with('\u{fffe}') {
        return true;
    }
    let start: Vec<char> = content.trim_start_matches(UTF_16_MARKS).chars().take(UTF_16_CHARS).collect();
    let is_nul_at = |first: usize| {
        let is_nul = |place: usize, c: &char| (*c == '\0') == (place % 2 == first);
        !start.is_empty()
            && start.len().is_multiple_of(2)
            && start.iter().enumerate().all(|(place, c)| is_nul(place, c))
    };
    is_nul_at(0) || is_nul_at(1)
}

#[cfg(test)]
#[path = "executable_tests.rs"]
mod tests;
