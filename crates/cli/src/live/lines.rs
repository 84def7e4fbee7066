//! Division of output into lines that a terminal can show.

use domain::output::plain;

use crate::sanitize::{sanitize, sanitize_line};

/// Length from which an unfinished line is printed as it is.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Output of one desktop. Keeps the unfinished last line: an escape sequence, or a progress line
/// that is overwritten, may be incomplete.
#[derive(Debug)]
pub(super) struct Lines {
    /// Text before each line; empty for a single desktop.
    prefix: String,
    is_raw: bool,
    unfinished: String,
}

impl Lines {
    /// Begins an output. The ids of several desktops tell their lines apart.
    pub(super) fn new(desktop_id: &str, is_one_of_many: bool, is_raw: bool) -> Self {
        let prefix = if is_one_of_many { format!("{} | ", sanitize_line(desktop_id)) } else { String::new() };
        Self { prefix, is_raw, unfinished: String::new() }
    }

    /// Appends text; returns the finished lines to print.
    pub(super) fn push(&mut self, text: &str) -> String {
        self.unfinished.push_str(text);
        let end = match self.unfinished.rfind('\n') {
            Some(place) => place + 1,
            None if self.unfinished.len() >= MAX_LINE_BYTES => return self.end(),
            None => return String::new(),
        };
        let rest = self.unfinished.split_off(end);
        let finished = std::mem::replace(&mut self.unfinished, rest);
        self.shown(&finished)
    }

    /// Returns the unfinished line, with a line end.
    pub(super) fn end(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.unfinished);
        if rest.is_empty() {
            return rest;
        }
        rest.push('\n');
        self.shown(&rest)
    }

    fn shown(&self, text: &str) -> String {
        let text = if self.is_raw { sanitize(text) } else { sanitize(&plain(text)) };
        if self.prefix.is_empty() {
            return text;
        }
        text.split_inclusive('\n').flat_map(|line| [self.prefix.as_str(), line]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_printed_when_they_are_finished() {
        let mut lines = Lines::new("d-1", false, false);
        assert_eq!(lines.push("one\ntw"), "one\n");
        assert_eq!(lines.push("o"), "");
        assert_eq!(lines.push("\nthree"), "two\n");
        assert_eq!((lines.end().as_str(), lines.end().as_str()), ("three\n", ""));
    }

    #[test]
    fn lines_of_several_desktops_have_their_ids() {
        let mut lines = Lines::new("d-1\u{1b}[2J", true, false);
        assert_eq!(lines.push("a\n\nb\nc"), "d-1 [2J | a\nd-1 [2J | \nd-1 [2J | b\n");
        assert_eq!(lines.end(), "d-1 [2J | c\n");
    }

    #[test]
    fn sequence_over_two_parts_does_not_reach_the_terminal() {
        let mut lines = Lines::new("d-1", false, false);
        assert_eq!(lines.push("a\u{1b}[3"), "");
        assert_eq!(lines.push("1mred\u{7}\n10%\r100%\n"), "ared\n100%\n");
        let mut raw = Lines::new("d-1", false, true);
        assert_eq!(raw.push("\u{1b}[31mred\u{7}\n"), "[31mred\n");
    }

    #[test]
    fn long_line_without_an_end_is_printed() {
        let mut lines = Lines::new("d-1", false, false);
        let long = "x".repeat(MAX_LINE_BYTES);
        assert_eq!(lines.push(&long), long + "\n");
    }
}
