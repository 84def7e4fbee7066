//! Text from desktops and people, which must not control the terminal.

/// What a terminal would obey is taken out, line ends and tabs are kept: a script's output is data.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// As one line: what would break it, or the terminal, is a blank.
pub(crate) fn harmless_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(harmless("a\u{1b}[2Jb\tc\nd\r"), "a[2Jb\tc\nd");
        assert_eq!(harmless_line("a\u{1b}[2Jb\tc\nd"), "a [2Jb c d");
    }
}
