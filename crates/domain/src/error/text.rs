//! Client texts in messages, cut to a maximum length.

/// Maximum number of characters in an error message to a client, from the published schema.
pub const MAX_ERROR_MESSAGE_CHARS: usize = 1_000;

/// Cuts a text to at most `max_chars` characters, at a character boundary.
pub fn cut(text: &str, max_chars: usize) -> &str {
    let end = text.char_indices().nth(max_chars);
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Cuts a client's text before it is quoted in a message.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 64;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_text_ends_between_two_characters() {
        let lengths = [0, 999, 1_000, 1_001, 50_000].map(|n| cut(&"ü".repeat(n), 1_000).chars().count());
        assert_eq!(lengths, [0, 999, 1_000, 1_000, 1_000]);
    }
}
