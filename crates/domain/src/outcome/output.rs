//! Output of scripts without the parts that only a terminal can show.

use std::{borrow::Cow, iter::Peekable, str::Chars};

const ESCAPE: char = '\u{1b}';
const BACKSPACE: char = '\u{8}';
const BELL: char = '\u{7}';
/// One-character forms of `ESC [`, and of `ESC` with `P`, `X`, `]`, `^` and `_`.
const CONTROL_SEQUENCE: char = '\u{9b}';
const STRING_STARTS: [char; 5] = ['\u{90}', '\u{98}', '\u{9d}', '\u{9e}', '\u{9f}'];
/// One-character form of `ESC \`, which ends a string.
const STRING_TERMINATOR: char = '\u{9c}';

/// Returns an output as its reader saw it last: without escape sequences (ECMA-48), and with each
/// line in its last state where carriage returns or backspaces overwrote it. Lines end with LF.
///
/// A sequence never extends over the end of its line: captured output may begin or end within one.
pub fn plain(output: &str) -> Cow<'_, str> {
    let is_special =
        |c: char| c == '\r' || c == BACKSPACE || c == ESCAPE || ('\u{80}'..='\u{9f}').contains(&c);
    if !output.contains(is_special) {
        return Cow::Borrowed(output);
    }
    let text = without_sequences(output);
    let mut result = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        push_last_state(&mut result, line);
        result.push_str(end);
    }
    Cow::Owned(result)
}

/// Appends the last state of a line. Text behind a carriage return replaces the text before it.
fn push_last_state(result: &mut String, line: &str) {
    let start = result.len();
    let last = line.rsplit('\r').find(|state| !state.is_empty()).unwrap_or_default();
    for c in last.chars() {
        if c != BACKSPACE {
            result.push(c);
        } else if result.len() > start {
            result.pop();
        }
    }
}

fn without_sequences(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ESCAPE => skip_escape(&mut rest),
            CONTROL_SEQUENCE => skip_control_sequence(&mut rest),
            c if STRING_STARTS.contains(&c) => skip_string(&mut rest),
            c => result.push(c),
        }
    }
    result
}

/// Skips the part of a sequence after its `ESC`.
fn skip_escape(rest: &mut Peekable<Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_control_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            skip_string(rest);
        }
        _ => {
            skip_while(rest, |c| (' '..='/').contains(&c));
            rest.next_if(|c| ('0'..='~').contains(c));
        }
    }
}

/// Skips parameters and the final character of a control sequence.
fn skip_control_sequence(rest: &mut Peekable<Chars<'_>>) {
    skip_while(rest, |c| (' '..='?').contains(&c));
    rest.next_if(|c| ('@'..='~').contains(c));
}

/// Skips a string, such as a window title, with its end: BEL or `ESC \`. A line feed ends a string
/// without an end, and stays.
fn skip_string(rest: &mut Peekable<Chars<'_>>) {
    skip_while(rest, |c| !matches!(c, BELL | ESCAPE | STRING_TERMINATOR | '\n'));
    if rest.next_if_eq(&ESCAPE).is_some() {
        // Another character than `\` starts a new sequence, which also ends the string.
        if rest.next_if_eq(&'\\').is_none() {
            skip_escape(rest);
        }
    } else {
        rest.next_if(|c| matches!(*c, BELL | STRING_TERMINATOR));
    }
}

fn skip_while(rest: &mut Peekable<Chars<'_>>, is_part: impl Fn(char) -> bool) {
    while rest.next_if(|c| is_part(*c)).is_some() {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(table: &[(&str, &str)]) {
        for (output, expected) in table {
            assert_eq!(plain(output), *expected, "{output:?}");
        }
    }

    #[test]
    fn escape_sequences_are_removed() {
        check(&[
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[1;38;5;196mE:\u{1b}[m full", "E: full"),
            ("\u{1b}[?25l\u{1b}[2J\u{1b}[Hx", "x"),
            ("\u{9b}31mred", "red"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{1b}]8;;http://a\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pq#0\u{1b}\\x\u{1b}_apc\u{9c}y", "xy"),
            ("\u{1b}(Bx\u{1b}7y\u{1b}=z\u{1b}cw", "xyzw"),
            ("a\u{1b}", "a"),
            ("a\u{1b}[", "a"),
            ("\u{1b}\u{1b}[1mx", "x"),
        ]);
    }

    #[test]
    fn unfinished_sequence_ends_with_its_line() {
        check(&[
            ("\u{1b}]0;title\nnext", "\nnext"),
            ("\u{1b}[31\nnext", "\nnext"),
            ("\u{1b}\nnext", "\nnext"),
            ("\u{1b}]0;title\u{1b}[1mx\n", "x\n"),
        ]);
    }

    #[test]
    fn progress_is_collapsed_to_its_last_state() {
        check(&[
            (" 10%\r 50%\r100%\ndone\n", "100%\ndone\n"),
            ("10%\r100%\r", "100%"),
            ("10%\r\u{1b}[Kdone\n", "done\n"),
            ("a\r\nb\r\n", "a\nb\n"),
            ("\r\r\n", "\n"),
            ("Reading... 0%\u{8}\u{8}5%\n", "Reading... 5%\n"),
            ("\u{8}\u{8}x", "x"),
            ("ab\n\u{8}c", "ab\nc"),
        ]);
    }

    #[test]
    fn plain_output_is_borrowed_as_it_is() {
        let output = "  tabs\tand \u{4e2d}\u{1f980}\n\nend";
        assert!(matches!(plain(output), Cow::Borrowed(text) if text == output));
    }

    proptest! {
        #[test]
        fn plain_has_no_controls_and_every_line(output in "[a0;\\[\\]\\\\\u{1b}\u{7}\u{8}\u{9b}\u{9d}\r\n]{0,40}") {
            let once = plain(&output).into_owned();
            let controls = [ESCAPE, '\r', BACKSPACE, CONTROL_SEQUENCE, STRING_STARTS[2]];
            prop_assert!(!once.contains(controls));
            prop_assert_eq!(plain(&once), once.as_str());
            prop_assert_eq!(once.matches('\n').count(), output.matches('\n').count());
        }
    }
}
