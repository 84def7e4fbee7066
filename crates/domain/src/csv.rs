//! Lines of comma-separated values (RFC 4180), for spreadsheets.
//!
//! A spreadsheet executes a cell that begins like a formula. Texts come from desktops and scripts,
//! so such a text gets a leading apostrophe, which spreadsheets hide.

/// First characters with which spreadsheets begin a formula, also in their full-width forms. A tab
/// and a line end lead to one in some programs.
const FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Text of any origin.
    Text(String),
    /// A number, a truth value or nothing, as this program writes them.
    Plain(String),
}

/// Writes a line, with its end.
pub fn line(cells: impl IntoIterator<Item = Cell>) -> String {
    let mut line = String::new();
    for (place, cell) in cells.into_iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        match cell {
            Cell::Plain(text) => line.push_str(&text),
            Cell::Text(text) => push_text(&mut line, &text),
        }
    }
    line.push_str("\r\n");
    line
}

fn push_text(line: &mut String, text: &str) {
    let is_formula = text.starts_with(FORMULA);
    let is_quoted = text.contains([',', '"', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
    if is_quoted {
        line.push('"');
    }
    if is_formula {
        line.push('\'');
    }
    for character in text.chars() {
        if character == '"' {
            line.push('"');
        }
        line.push(character);
    }
    if is_quoted {
        line.push('"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> String {
        line([Cell::Text(text.to_owned())]).trim_end_matches("\r\n").to_owned()
    }

    #[test]
    fn cells_are_separated_and_quoted_as_needed() {
        let cells = [Cell::Text("a,b".into()), Cell::Plain("-7".into()), Cell::Text("say \"x\"".into())];
        assert_eq!(line(cells), "\"a,b\",-7,\"say \"\"x\"\"\"\r\n");
        assert_eq!(text("two\nlines"), "\"two\nlines\"");
        assert_eq!((text("plain").as_str(), text("").as_str()), ("plain", ""));
    }

    #[test]
    fn text_that_begins_like_a_formula_is_neutralised() {
        for formula in
            ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\u{ff1d}1", "\u{ff0d}1", "\u{ff20}1"]
        {
            assert!(text(formula).trim_start_matches('"').starts_with('\''), "{formula}");
        }
        assert_eq!(text("=HYPERLINK(\"http://x\",\"y\")"), "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
        assert_eq!(text("a=1"), "a=1");
    }

    /// Reads one line as RFC 4180 says.
    fn parse(line: &str) -> Vec<String> {
        let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut characters = line.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(character) = characters.next() {
            match (character, quoted) {
                ('"', false) => quoted = true,
                ('"', true) if characters.next_if_eq(&'"').is_some() => cell.push('"'),
                ('"', true) => quoted = false,
                (',', false) => cells.push(std::mem::take(&mut cell)),
                (other, _) => cell.push(other),
            }
        }
        cells.push(cell);
        cells
    }

    proptest! {
        #[test]
        fn any_texts_are_read_back_and_none_is_a_formula(texts in prop::collection::vec("[-=+@,\"\t\r\n a']{0,8}", 1..5)) {
            let line = line(texts.iter().cloned().map(Cell::Text));
            let cells = parse(&line);
            prop_assert_eq!(cells.len(), texts.len());
            for (cell, text) in cells.iter().zip(&texts) {
                prop_assert!(!cell.starts_with(FORMULA));
                prop_assert!(cell == text || cell.strip_prefix('\'') == Some(text.as_str()));
            }
        }
    }
}
