//! Justifications: the reason and the ticket with which a caller explains a change.

use std::fmt;

use crate::{Error, limits};

/// Reason and ticket of a change. Both are empty unless the caller gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Justification {
    reason: String,
    ticket: String,
}

impl Justification {
    /// Checks a reason and a ticket. Blanks around them are removed. Line breaks and tabs in a
    /// reason become blanks: a runbook with two lines must still freeze its project.
    ///
    /// # Errors
    ///
    /// A reason has at most 500 characters, a ticket at most 128 without blanks. Neither has
    /// control characters, nor invisible ones that make a line look like another.
    pub fn new(reason: &str, ticket: &str) -> Result<Self, Error> {
        let reason = reason.replace("\r\n", " ").replace(['\n', '\r', '\t'], " ");
        let (reason, ticket) = (reason.trim(), ticket.trim());
        check("reason", reason, limits::MAX_CHANGE_REASON_CHARS)?;
        check("ticket", ticket, limits::MAX_TICKET_CHARS)?;
        if ticket.contains(char::is_whitespace) {
            let message = "has a blank: a ticket is one id, such as OPS-1234; the reason takes free text";
            return Err(Error::invalid("ticket", message));
        }
        Ok(Self { reason: reason.to_owned(), ticket: ticket.to_owned() })
    }

    /// Returns the reason; empty without one.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the id of the ticket; empty without one.
    pub fn ticket(&self) -> &str {
        &self.ticket
    }

    /// Returns whether neither a reason nor a ticket is given.
    pub const fn is_empty(&self) -> bool {
        self.reason.is_empty() && self.ticket.is_empty()
    }

    /// Appends the justification to a text: `text: reason (ticket)`. An empty text is left out.
    pub fn after(&self, text: &str) -> String {
        match (text.is_empty(), self.is_empty()) {
            (_, true) => text.to_owned(),
            (true, false) => self.to_string(),
            (false, false) => format!("{text}: {self}"),
        }
    }
}

impl fmt::Display for Justification {
    /// Writes `reason (ticket)`, or either of them alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason.as_str(), self.ticket.as_str()) {
            (reason, "") => f.write_str(reason),
            ("", ticket) => f.write_str(ticket),
            (reason, ticket) => write!(f, "{reason} ({ticket})"),
        }
    }
}

fn check(field: &'static str, text: &str, most: usize) -> Result<(), Error> {
    let length = text.chars().count();
    if length > most {
        let message = format!("{length} characters are too many: at most {most} are allowed");
        return Err(Error::out_of_range(field, message));
    }
    match text.chars().position(is_deceptive) {
        Some(place) => {
            let message = format!(
                "character {} is a control character or invisible: use one line of visible text",
                place + 1
            );
            Err(Error::invalid(field, message))
        }
        None => Ok(()),
    }
}

/// Returns whether a character controls a terminal, or makes a line look like another: controls,
/// separators of lines, and the direction marks of Unicode. Joiners stay, because scripts such as
/// Persian and emoji need them.
const fn is_deceptive(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{200b}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str, ticket: &str) -> String {
        Justification::new(reason, ticket).unwrap_err().to_string()
    }

    #[test]
    fn reason_and_ticket_are_trimmed_and_shown_together() {
        let shown = |reason, ticket| Justification::new(reason, ticket).unwrap().to_string();
        assert_eq!(shown("  fix CVE-2026-1 ", " OPS-7 "), "fix CVE-2026-1 (OPS-7)");
        assert_eq!((shown("größer", ""), shown("", "OPS-7")), ("größer".into(), "OPS-7".into()));
        assert!(Justification::new(" \t", "").unwrap().is_empty());
    }

    #[test]
    fn justification_follows_a_text() {
        let given = Justification::new("late", "").unwrap();
        assert_eq!(
            (given.after("stopped by ann"), given.after("")),
            ("stopped by ann: late".into(), "late".into())
        );
        assert_eq!(Justification::default().after("stopped by ann"), "stopped by ann");
    }

    #[test]
    fn text_that_controls_or_deceives_is_refused() {
        for text in ["a\u{b}b", "a\0b", "a\u{1b}[2Jb", "a\u{85}b", "a\u{202e}b", "a\u{200b}b"] {
            assert!(refused(text, "").starts_with("reason: character 2 is a control"), "{text:?}");
            assert!(refused("", text).starts_with("ticket: character 2 is a control"), "{text:?}");
        }
        let lines = Justification::new("two\r\nlines\tand\nmore\n", "").unwrap();
        assert_eq!(lines.reason(), "two lines and more", "a runbook may send several lines");
        assert!(refused("", "a\nb").starts_with("ticket: "));
        assert!(Justification::new("👩\u{200d}🔧 می\u{200c}خواهم", "").is_ok(), "joiners are text");
    }

    #[test]
    fn length_and_blanks_are_limited() {
        let long = "ü".repeat(500);
        assert!(Justification::new(&long, &long.chars().take(128).collect::<String>()).is_ok());
        assert!(refused(&(long + "x"), "").contains("501 characters are too many: at most 500"));
        assert!(refused("", &"x".repeat(129)).contains("at most 128"));
        assert!(refused("", "OPS 7").starts_with("ticket: has a blank"));
    }
}
