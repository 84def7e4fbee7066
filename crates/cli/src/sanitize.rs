//! Text from desktops and people, which must not control the terminal.

/// What a terminal would obey is taken out, line ends and tabs are kept: a script's output is data.
pub(crate) fn sanitize(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !obeyed(*c)).collect()
}

/// As one line: what would break it, or the terminal, is a blank.
pub(crate) fn sanitize_line(text: &str) -> String {
    text.chars().map(|c| if obeyed(c) { ' ' } else { c }).collect()
}

/// Control characters, and those of Unicode that take no room or turn the direction round: with
/// these a line can look like another.
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
