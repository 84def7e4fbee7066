use super::*;
use crate::{END, STOP};

#[test]
fn request_is_taken_when_it_is_complete() {
    let request = OutputRequest { from_offset: 0xdead_beef };
    let encoded = request.encode();
    let mut received = encoded[..10].to_vec();
    assert_eq!(OutputRequest::take(&mut received), None);
    received.extend_from_slice(&encoded[10..]);
    received.push(b'x');
    assert_eq!(OutputRequest::take(&mut received), Some(request));
    assert_eq!(received, b"x");
}

#[test]
fn older_runner_finds_no_other_request_in_one() {
    for from_offset in [0, 1, u64::MAX, 0x7371_7371_7371_7371] {
        let encoded = OutputRequest { from_offset }.encode();
        assert!(!encoded.contains(&STOP) && !encoded.contains(&END), "{encoded:?}");
    }
}

#[test]
fn reply_is_decoded_as_encoded() {
    let reply = OutputReply { offset: 7, content: b"hello".to_vec(), is_last: true };
    let encoded = reply.encode();
    let (header, content) = encoded.split_first_chunk::<{ OutputReply::HEADER_BYTES }>().unwrap();
    let (decoded, length) = OutputReply::decode_header(header).unwrap();
    assert_eq!((length, content), (5, &b"hello"[..]));
    assert_eq!(OutputReply { content: content.to_vec(), ..decoded }, reply);
    assert_eq!(OutputReply::decode_header(b"e0000000000000"), None);
}
