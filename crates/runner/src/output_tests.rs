use super::*;

fn text(head_bytes: usize, tail_bytes: usize, bytes: &[u8]) -> String {
    let mut output = Output::new(head_bytes, tail_bytes);
    for part in bytes.chunks(7) {
        output.push(part);
        assert!(output.head.len() <= head_bytes && output.tail.len() <= tail_bytes);
    }
    output.into_text(None)
}

#[test]
fn output_within_the_limit_is_whole() {
    let line = "0123456789".repeat(3);
    assert_eq!(text(20, 10, line.as_bytes()), line);
    assert_eq!(text(20, 10, b""), "");
}

#[test]
fn longer_output_keeps_both_ends() {
    let line = "0123456789".repeat(4);
    assert_eq!(text(12, 8, line.as_bytes()), "012345678901\n[... 20 bytes cut ...]\n23456789");
}

#[test]
fn cut_lies_between_characters() {
    for head_bytes in 8..12 {
        for tail_bytes in 8..12 {
            let text = text(head_bytes, tail_bytes, "äö€😀".repeat(20).as_bytes());
            assert!(!text.contains('\u{fffd}'), "{head_bytes} {tail_bytes} {text}");
            let (head, rest) = text.split_once("\n[... ").unwrap();
            let (cut, tail) = rest.split_once(" bytes cut ...]\n").unwrap();
            let cut: usize = cut.parse().unwrap();
            assert_eq!(head.len() + cut + tail.len(), 20 * 11);
            assert!(head.len() + 3 >= head_bytes && tail.len() + 3 >= tail_bytes);
        }
    }
}

#[test]
fn invalid_bytes_in_a_text_are_replaced() {
    let long = format!("{} caf", "some text before ".repeat(3));
    let bytes = [long.as_bytes(), b"\xe9 and \0 more"].concat();
    assert_eq!(text(100, 100, &bytes), format!("{long}\u{fffd} and \u{fffd} more"));
}

#[test]
fn colours_and_progress_are_text() {
    let line = "\u{1b}[1m10 %\u{1b}[0m\r20 %\r\n";
    assert_eq!(text(100, 100, line.as_bytes()), line);
}

#[test]
fn binary_output_is_marked_by_its_size() {
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
    assert_eq!(text(64, 64, &bytes), "[binary output of 1000 bytes, not shown]\n");
}

#[test]
fn output_is_read_from_an_offset() {
    let mut output = Output::new(4, 4);
    output.push(b"abcdef");
    assert_eq!(output.read(0, 100), (0, b"abcdef".to_vec()));
    assert_eq!(output.read(2, 3), (2, b"cde".to_vec()));
    assert_eq!(output.read(5, 100), (5, b"f".to_vec()));
    assert_eq!(output.read(6, 100), (6, Vec::new()));
    assert_eq!(output.read(99, 100), (6, Vec::new()), "nothing is that far");
    output.push(b"ghijkl");
    assert_eq!(output.read(1, 100), (1, b"bcd".to_vec()));
    assert_eq!(output.read(4, 100), (8, b"ijkl".to_vec()), "the middle is lost");
    assert_eq!(output.read(9, 2), (9, b"jk".to_vec()));
    assert_eq!(Output::new(0, 0).read(0, 1), (0, Vec::new()));
}
