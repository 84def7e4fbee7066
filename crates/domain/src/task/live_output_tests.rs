use proptest::prelude::*;

use super::*;

fn chunk(offset: u64, content: &[u8]) -> Chunk {
    Chunk { from_offset: offset, offset, content: content.to_vec() }
}

#[track_caller]
fn check(part: &Part, offset: u64, text: &str, next_offset: u64) {
    assert_eq!((part.offset, part.text.as_str(), part.next_offset), (offset, text, next_offset));
}

#[test]
fn chunk_continues_what_was_received() {
    assert!(continues(3, &chunk(3, b"x")));
    assert!(continues(3, &Chunk { offset: 9, ..chunk(3, b"x") }), "the desktop lost bytes");
    assert!(!continues(4, &chunk(3, b"x")), "a repetition");
    assert!(!continues(2, &chunk(3, b"x")), "the chunk before it was lost");
    assert!(!continues(3, &Chunk { offset: 2, ..chunk(3, b"x") }));
    assert!(!continues(0, &chunk(0, &vec![0; MAX_LIVE_CHUNK_BYTES + 1])));
    assert!(!continues(u64::MAX, &chunk(u64::MAX, b"x")));
}

#[test]
fn offset_beyond_any_output_is_refused() {
    assert!(check_offset("from", i64::MAX.unsigned_abs()).is_ok());
    let error = check_offset("from", 1 << 63).unwrap_err();
    assert_eq!(error.field.unwrap().to_string(), "from");
}

#[test]
fn part_begins_within_a_chunk() {
    let chunks = [chunk(0, b"hello "), chunk(6, b"world")];
    check(&part(0, &chunks, None), 0, "hello world", 11);
    check(&part(8, &chunks, None), 8, "rld", 11);
    check(&part(11, &chunks, None), 11, "", 11);
    check(&part(40, &chunks, None), 40, "", 40);
}

#[test]
fn gap_ends_a_part() {
    let chunks = [chunk(0, b"a\xc3"), chunk(9, b"z")];
    check(&part(0, &chunks, None), 0, "a\u{fffd}", 2);
    check(&part(2, &chunks, None), 9, "z", 10);
}

#[test]
fn split_character_waits_for_its_end() {
    let euro = "€".as_bytes();
    check(&part(0, &[chunk(0, &euro[..2])], None), 0, "", 0);
    check(&part(0, &[chunk(0, &euro[..2]), chunk(2, &euro[2..])], None), 0, "€", 3);
    check(&part(0, &[chunk(0, &euro[..2])], Some(2)), 0, "\u{fffd}", 2);
    check(&part(0, &[chunk(0, b"\xff\0x")], None), 0, "\u{fffd}\u{fffd}x", 3);
}

#[test]
fn stored_output_continues_live_output() {
    check(&rest_of_stored(0, "hello"), 0, "hello", 5);
    check(&rest_of_stored(3, "hello"), 3, "lo", 5);
    check(&rest_of_stored(5, "hello"), 5, "", 5);
    assert!(!rest_of_stored(5, "hello").is_incomplete);
    assert!(rest_of_stored(6, "hello").is_incomplete, "the stored output is another one");
    assert!(rest_of_stored(1, "\u{fffd}hello").is_incomplete, "replaced bytes shift the offsets");
    let cut = "x".repeat(OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES + 30);
    assert!(rest_of_stored(1, &cut).is_incomplete);
    assert_eq!(rest_of_stored(0, &cut).text, cut);
}

#[test]
fn ended_record_continues_without_gap_or_repetition() {
    let chunks = [chunk(0, b"hello "), chunk(6, b"world")];
    let of = |from, chunks: &[Chunk], end, may_grow| {
        let (state, part) = part_of_ended(from, chunks, end, "hello world!", may_grow);
        (state, part.text, part.next_offset)
    };
    let text = |text: &str| text.to_owned();
    assert_eq!(of(0, &chunks, None, true), (OutputState::Ended, text("hello world!"), 12));
    assert_eq!(of(6, &chunks, None, true), (OutputState::Live, text("world"), 11));
    assert_eq!(of(11, &chunks, None, true), (OutputState::Live, text(""), 11), "the last chunk may come");
    assert_eq!(of(11, &chunks, None, false), (OutputState::Ended, text("!"), 12), "it was lost");
    assert_eq!(of(6, &chunks, Some(11), true), (OutputState::Ended, text("world"), 11));
    assert_eq!(of(11, &chunks, Some(11), true), (OutputState::Ended, text(""), 11));
}

proptest! {
    #[test]
    fn parts_add_up_to_the_text(text in "\\PC{0,60}", cuts in prop::collection::vec(0..100_usize, 0..6)) {
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<Chunk> =
            cuts.windows(2).map(|cut| chunk(cut[0] as u64, &bytes[cut[0]..cut[1]])).collect();
        let (mut read, mut at) = (String::new(), 0);
        for received in 0..=chunks.len() {
            let part = part(at, &chunks[..received], None);
            prop_assert_eq!(part.offset, at);
            read.push_str(&part.text);
            at = part.next_offset;
        }
        prop_assert_eq!(read, text.replace('\0', "\u{fffd}"));
    }
}
