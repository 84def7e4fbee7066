use proto::limits::MAX_OUTPUT_BYTES;

use super::*;

fn text_of(bytes: &[u8]) -> String {
    let mut output = Output::default();
    output.push(bytes);
    output.into_text()
}

/// Bytes whose positions differ from their neighbours'.
fn numbered(count: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(count).collect()
}

#[test]
fn what_fits_is_kept_whole() {
    assert_eq!(text_of(b""), "");
    assert_eq!(text_of("grün\n".as_bytes()), "grün\n");
    let all = numbered(OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES);
    assert_eq!(text_of(&all).as_bytes(), all);
}

#[test]
fn one_byte_more_is_cut_and_counted() {
    let all = numbered(OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES + 1);
    let mut expected = all[..OUTPUT_HEAD_BYTES].to_vec();
    expected.extend_from_slice(b"\n[... 1 bytes cut ...]\n");
    expected.extend_from_slice(&all[OUTPUT_HEAD_BYTES + 1..]);
    assert_eq!(text_of(&all).as_bytes(), expected);
}

#[test]
fn pieces_give_the_same_text_as_the_whole_and_memory_stays_bounded() {
    let all = numbered(300_000);
    for size in [1, 7, 8192, OUTPUT_HEAD_BYTES, 200_000] {
        let mut output = Output::default();
        for piece in all.chunks(size) {
            output.push(piece);
            assert!(output.head.len() <= OUTPUT_HEAD_BYTES && output.tail.len() <= OUTPUT_TAIL_BYTES);
        }
        assert_eq!(output.into_text(), text_of(&all), "in pieces of {size}");
    }
}

#[test]
fn text_is_utf_8_without_nul_and_within_its_limit() {
    assert_eq!(text_of(b"a\0b\xffc"), "a\u{fffd}b\u{fffd}c");
    for byte in [0, 0xff] {
        let text = text_of(&vec![byte; 1_000_000]);
        assert!(text.len() <= MAX_OUTPUT_BYTES && !text.contains('\0'), "{}", text.len());
    }
}
