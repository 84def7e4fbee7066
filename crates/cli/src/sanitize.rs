//! Filters for text from desktops and users, so that it cannot control the terminal.

/// Removes control characters. Line ends and tabs stay, because the output of a script is data.
pub(crate) fn sanitize(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !obeyed(*c)).collect()
}

/// Replaces control characters and line ends by blanks, so that the text stays on one line.
pub(crate) fn sanitize_line(text: &str) -> String {
    text.chars().map(|c| if obeyed(c) { ' ' } else { c }).collect()
}

/// Reports whether a terminal interprets the character. This includes invisible and bidirectional
/// characters of Unicode, which make a line look like another.
fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(sanitize("a\u{1b}[2Jb\tc\nd\r"), "a[2Jb\tc\nd");
        assert_eq!(sanitize_line("a\u{1b}[2Jb\tc\nd"), "a [2Jb c d");
        assert_eq!(sanitize("a\u{202e}b\u{200b}c"), "abc");
    }
}
