//! Messages between agent and runner about the output of a running script.
//!
//! A request is ASCII without the bytes of other requests: a runner of an older version ignores it.

/// First byte of a request and of a reply.
const OUTPUT: u8 = b'o';
/// Length of a request: the first byte, the offset as 16 hexadecimal digits, and a line end.
const REQUEST_BYTES: usize = 18;
/// Maximum length of the content of a reply.
const MAX_REPLY_BYTES: usize = 64 << 10;

#[cfg(test)]
#[path = "live_output_tests.rs"]
mod tests;

/// Request for output from an offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputRequest {
    /// Position of the first byte.
    pub from_offset: u64,
}

impl OutputRequest {
    /// Encodes the request.
    pub fn encode(self) -> Vec<u8> {
        format!("o{:016x}\n", self.from_offset).into_bytes()
    }

    /// Takes the first request from received bytes. `None` while it is incomplete, or if the bytes
    /// begin with another message.
    pub(crate) fn take(received: &mut Vec<u8>) -> Option<Self> {
        let request = received.get(..REQUEST_BYTES)?;
        let digits =
            request.strip_prefix(&[OUTPUT])?.strip_suffix(b"\n").and_then(|it| str::from_utf8(it).ok());
        let request = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        received.drain(..REQUEST_BYTES);
        Some(Self { from_offset: request? })
    }

    /// Whether a byte begins a request.
    pub(crate) fn begins_with(byte: u8) -> bool {
        byte == OUTPUT
    }
}

/// Output that a runner sends: the answer to a request, and once more at the end of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputReply {
    /// Position of the content. Greater than the requested one if the bytes between are lost.
    pub offset: u64,
    /// Bytes of the output.
    pub content: Vec<u8>,
    /// Whether the script has ended and nothing follows.
    pub is_last: bool,
}

impl OutputReply {
    /// Length of the encoded reply before its content.
    pub const HEADER_BYTES: usize = 14;
    /// Maximum length of the content of all replies but the last.
    pub(crate) const MAX_BYTES: usize = MAX_REPLY_BYTES;

    /// Encodes the reply.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.content.len()).unwrap_or(u32::MAX);
        [&[OUTPUT, self.is_last.into()][..], &self.offset.to_be_bytes(), &length.to_be_bytes(), &self.content]
            .concat()
    }

    /// Decodes the header of a reply: the reply without its content, and the length of that. `None`
    /// for another message.
    pub fn decode_header(header: &[u8; Self::HEADER_BYTES]) -> Option<(Self, usize)> {
        let (kind, rest) = header.split_first_chunk::<2>()?;
        let (offset, length) = rest.split_first_chunk::<8>()?;
        let [OUTPUT, is_last @ (0 | 1)] = *kind else { return None };
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let reply = Self { offset: u64::from_be_bytes(*offset), content: Vec::new(), is_last: is_last == 1 };
        Some((reply, usize::try_from(length).ok()?))
    }
}
