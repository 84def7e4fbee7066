//! Encoding of the deny-list of certificates, and the bytes that a scheduler signs.

use domain::limits::MAX_DENIED_CERTIFICATES;
use prost::Message as _;

use crate::order::DenyList;

/// Prefix of the signed message, which prevents the reuse of signatures from other contexts.
const CONTEXT: &[u8] = b"graywave deny list v1\0";

/// Message to sign for an encoded list.
pub fn message(encoded: &[u8]) -> Vec<u8> {
    [CONTEXT, encoded].concat()
}

/// Encodes a list of serial numbers in hex. Texts that are not hex are left out.
pub fn encode(version: u64, serials: &[String]) -> Vec<u8> {
    let serials = serials.iter().filter_map(|serial| to_bytes(serial)).collect();
    DenyList { version, serials }.encode_to_vec()
}

/// Decodes a list: its version, and the serial numbers in hex.
///
/// # Errors
///
/// When the bytes are not a list, or the list is longer than allowed.
pub fn decode(encoded: &[u8]) -> Result<(u64, Vec<String>), String> {
    let DenyList { version, serials } =
        DenyList::decode(encoded).map_err(|error| format!("the deny-list cannot be decoded: {error}"))?;
    if serials.len() > MAX_DENIED_CERTIFICATES {
        let count = serials.len();
        return Err(format!(
            "the deny-list has {count} entries; at most {MAX_DENIED_CERTIFICATES} are allowed"
        ));
    }
    Ok((version, serials.iter().map(|serial| to_hex(serial)).collect()))
}

fn to_bytes(serial: &str) -> Option<Vec<u8>> {
    let even = if serial.len().is_multiple_of(2) { serial.to_owned() } else { format!("0{serial}") };
    even.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_the_same_after_encoding_and_decoding() {
        let serials = ["ab0c", "abc", "\u{fc}", "xy", "0"].map(str::to_owned);
        let (version, decoded) = decode(&encode(7, &serials)).unwrap();
        assert_eq!((version, decoded), (7, ["ab0c", "0abc", "00"].map(str::to_owned).to_vec()));
        assert_ne!(message(b"a"), message(b"b"));
    }

    #[test]
    fn list_beyond_its_limit_is_refused() {
        let serials = vec!["1".to_owned(); MAX_DENIED_CERTIFICATES + 1];
        assert!(decode(&encode(1, &serials)).unwrap_err().contains("entries"));
        decode(&encode(1, &serials[1..])).unwrap();
        assert!(decode(b"\xff").is_err());
    }
}
