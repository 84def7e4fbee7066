//! Text of programs on Windows, which write UTF-8, UTF-16 or a code page, and do not tell which.

/// Decodes bytes of a code page; `None` if they are not valid in it.
pub(crate) type CodePage = fn(&[u8]) -> Option<String>;

/// Length below which nothing counts as UTF-16: two characters.
const MIN_UTF16_BYTES: usize = 4;
/// Byte order mark of UTF-16LE, with which some programs begin.
const UTF16_MARK: [u8; 2] = [0xff, 0xfe];
/// Maximum share of control characters in text of a code page, in which every byte is valid.
const MAX_CONTROL_PERCENT: usize = 5;

/// Decodes a whole output. `None` without a code page, and if nothing fits: nothing is replaced.
pub(crate) fn decode(bytes: &[u8], code_page: Option<CodePage>) -> Option<String> {
    let code_page = code_page?;
    if let Some(text) = utf16(bytes) {
        return Some(text);
    }
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Some(text.to_owned()),
        Ok(_) => None,
        Err(_) if has_controls(bytes) => None,
        Err(_) => code_page(bytes),
    }
}

/// Decodes the two parts of an output whose middle is cut, both in the same encoding. `is_odd` says
/// that the second part begins at an odd offset. The characters at the cut may be lost.
pub(crate) fn decode_parts(
    head: &[u8],
    tail: &[u8],
    is_odd: bool,
    code_page: Option<CodePage>,
) -> Option<(String, String)> {
    let code_page = code_page?;
    let even_head = head.get(..head.len() & !1).unwrap_or_default();
    let even_tail = tail.get(usize::from(is_odd)..).unwrap_or_default();
    let even_tail = even_tail.get(..even_tail.len() & !1).unwrap_or_default();
    // A surrogate pair may be cut, which leaves one more unit.
    let utf16_head = utf16(even_head).or_else(|| utf16(shorter_end(even_head, 2)));
    let utf16_tail = utf16(even_tail).or_else(|| utf16(shorter_start(even_tail, 2)));
    if let (Some(head), Some(tail)) = (utf16_head, utf16_tail) {
        return Some((head, tail));
    }
    if is_utf8_part(head) && is_utf8_part(tail) {
        // The caller decodes UTF-8, and marks the exact number of bytes.
        return None;
    }
    if has_controls(head) || has_controls(tail) {
        return None;
    }
    // A character of a code page has at most two bytes.
    let head = code_page(head).or_else(|| code_page(shorter_end(head, 1)))?;
    let tail = code_page(tail).or_else(|| code_page(shorter_start(tail, 1)))?;
    Some((head, tail))
}

/// Decodes UTF-16LE; `None` for anything else. Text without any Latin character, digit, space or
/// line end is not recognised.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if bytes.len() < MIN_UTF16_BYTES || !rest.is_empty() {
        return None;
    }
    let is_marked = bytes.starts_with(&UTF16_MARK);
    let is_likely = pairs.iter().any(|[low, high]| *high == 0 && *low != 0);
    if !is_marked && !is_likely {
        return None;
    }
    let units = pairs.iter().skip(usize::from(is_marked)).map(|pair| u16::from_le_bytes(*pair));
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    let is_text = !text.chars().any(|char| char == '\0' || (char.is_control() && !is_layout(char)));
    is_text.then_some(text)
}

/// Whether bytes are UTF-8 but for cut characters at both ends.
fn is_utf8_part(bytes: &[u8]) -> bool {
    let start = bytes.iter().take(3).take_while(|byte| **byte & 0b1100_0000 == 0b1000_0000).count();
    match str::from_utf8(bytes.get(start..).unwrap_or_default()) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

/// Whether bytes have more control characters than text has.
fn has_controls(bytes: &[u8]) -> bool {
    let is_control = |byte: &&u8| **byte < 0x20 && !is_layout(char::from(**byte));
    bytes.contains(&0) || bytes.iter().filter(is_control).count() * 100 > bytes.len() * MAX_CONTROL_PERCENT
}

/// Whether a control character lays out text, or colours it.
fn is_layout(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | '\x07' | '\x08' | '\x0c' | '\x1b')
}

fn shorter_end(bytes: &[u8], by: usize) -> &[u8] {
    bytes.get(..bytes.len().saturating_sub(by)).unwrap_or_default()
}

fn shorter_start(bytes: &[u8], by: usize) -> &[u8] {
    bytes.get(by..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code page with one character beyond ASCII, and with one of two bytes.
    fn code_page(bytes: &[u8]) -> Option<String> {
        let mut text = String::new();
        let mut bytes = bytes.iter();
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                0x81 => 'ü',
                0x90 => bytes.next().map(|_| '語')?,
                byte => char::from(*byte),
            });
        }
        Some(text)
    }

    fn units(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[track_caller]
    fn check(bytes: &[u8], text: Option<&str>) {
        assert_eq!(decode(bytes, Some(code_page)).as_deref(), text);
    }

    #[test]
    fn encoding_is_recognised() {
        check("grün ✓\r\n".as_bytes(), Some("grün ✓\r\n"));
        check(&units("grün ✓ 語\r\n"), Some("grün ✓ 語\r\n"));
        check(&[&UTF16_MARK[..], &units("語語")].concat(), Some("語語"));
        check(b"gr\x81n\r\n", Some("grün\r\n"));
        check(b"", Some(""));
        check(b"a", Some("a"));
    }

    #[test]
    fn binary_output_is_not_decoded() {
        check(b"a\0\0\0b\x81", None);
        check(&[0x81, 1, 2, 3, 4, 5, 6], None);
        check(&[1, 0, 2, 0, 3, 0], None);
        // A half of a surrogate pair, and an odd length.
        check(&[0, 0xd8, b'a', 0], None);
        check(b"a\0b", None);
        assert_eq!(decode(b"text", None), None, "no code page: another system");
    }

    #[test]
    fn parts_are_decoded_alike() {
        let text = units("0123456789\u{1f600}abc");
        let parts = |head: usize, tail: usize| {
            let is_odd = tail % 2 == 1;
            decode_parts(&text[..head], &text[tail..], is_odd, Some(code_page))
        };
        let both = |head: &str, tail: &str| Some((head.to_owned(), tail.to_owned()));
        assert_eq!(parts(6, 24), both("012", "abc"));
        assert_eq!(parts(7, 23), both("012", "abc"));
        // Both cuts are in the surrogate pair.
        assert_eq!(parts(22, 22), both("0123456789", "abc"));
        let local = |head: &[u8], tail: &[u8]| decode_parts(head, tail, false, Some(code_page));
        assert_eq!(local(b"gr\x81n", b"abc"), both("grün", "abc"));
        assert_eq!(local(b"abc\x90", b"\x81bc"), both("abc", "übc"));
        assert_eq!(local("gr\u{fc}n".as_bytes(), b"\xbcn"), None, "UTF-8");
    }
}
