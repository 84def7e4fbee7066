//! Output of running scripts: which parts are stored, and how they follow each other.
//!
//! Offsets count the bytes that the script has written. The desktop keeps only the beginning and
//! the end of long output, so a part may begin after a gap.

use crate::{
    Error,
    limits::{MAX_LIVE_CHUNK_BYTES, OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES},
    string_enum::string_enum,
};

#[cfg(test)]
#[path = "live_output_tests.rs"]
mod tests;

/// State of the output of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputState {
    /// The script has not started.
    Waiting,
    /// The desktop was asked and has not answered.
    Requested,
    /// The desktop sends output.
    Live,
    /// The agent is too old for live output.
    Unsupported,
    /// The record has ended, and nothing follows.
    Ended,
}

impl OutputState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Requested, Self::Live, Self::Unsupported, Self::Ended];

    /// Returns the word of the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Requested => "REQUESTED",
            Self::Live => "LIVE",
            Self::Unsupported => "UNSUPPORTED",
            Self::Ended => "ENDED",
        }
    }
}

string_enum!(OutputState, "output state");

/// A part of the output, as its desktop sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Position up to which the desktop had sent everything before.
    pub from_offset: u64,
    /// Position of the content; the bytes between are lost.
    pub offset: u64,
    /// Bytes of the output.
    pub content: Vec<u8>,
}

impl Chunk {
    /// Returns the position after the content.
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.content.len() as u64)
    }
}

/// Returns whether a chunk continues the output that was received up to an offset. Any other chunk
/// is a repetition, or follows a chunk that was lost, and its desktop is asked again.
pub fn continues(received_until: u64, chunk: &Chunk) -> bool {
    chunk.from_offset == received_until
        && chunk.offset >= chunk.from_offset
        && chunk.content.len() <= MAX_LIVE_CHUNK_BYTES
        && i64::try_from(chunk.end()).is_ok()
}

/// Validates the position from which a caller reads.
pub fn check_offset(field: &'static str, offset: u64) -> Result<(), Error> {
    if i64::try_from(offset).is_ok() {
        return Ok(());
    }
    Err(Error::out_of_range(field, format!("{offset} is out of range: 0 to {}", i64::MAX)))
}

/// Text of a part of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Position of the text; after a gap greater than the requested one.
    pub offset: u64,
    /// Text without NUL; invalid UTF-8 is replaced.
    pub text: String,
    /// Position after the text.
    pub next_offset: u64,
    /// Whether the end of the output is missing.
    pub is_incomplete: bool,
}

impl Part {
    /// Creates a part without text.
    pub const fn empty(offset: u64) -> Self {
        Self { offset, text: String::new(), next_offset: offset, is_incomplete: false }
    }
}

/// Returns the first part without a gap from an offset on. `chunks` are in the order of their
/// offsets. A character whose end is missing waits for its end, unless `end_offset`, the end of the
/// output, or a gap follows.
pub fn part(from: u64, chunks: &[Chunk], end_offset: Option<u64>) -> Part {
    let mut offset = from;
    let mut bytes: Vec<u8> = Vec::new();
    let mut is_cut = false;
    for chunk in chunks.iter().filter(|chunk| chunk.end() > from) {
        let position = offset + bytes.len() as u64;
        if chunk.offset > position {
            if !bytes.is_empty() {
                is_cut = true;
                break;
            }
            offset = chunk.offset;
        }
        let known = usize::try_from((offset + bytes.len() as u64).saturating_sub(chunk.offset));
        bytes.extend_from_slice(chunk.content.get(known.unwrap_or(usize::MAX)..).unwrap_or_default());
    }
    let is_end = is_cut || end_offset.is_some_and(|end| offset + bytes.len() as u64 >= end);
    if !is_end {
        bytes.truncate(bytes.len() - unfinished(&bytes));
    }
    Part {
        offset,
        next_offset: offset + bytes.len() as u64,
        text: String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}"),
        is_incomplete: false,
    }
}

/// Number of bytes at the end that begin a character and do not complete it.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    let invalid = last.map(|chunk| chunk.invalid()).unwrap_or_default();
    let is_begun = str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
    if is_begun { invalid.len() } else { 0 }
}

/// Continues with the stored output of a record that has ended, where the chunks do not reach its
/// end. Stored output is exact up to its cut, if it is valid UTF-8.
pub fn rest_of_stored(from: u64, stored: &str) -> Part {
    let is_whole = stored.len() <= OUTPUT_HEAD_BYTES + OUTPUT_TAIL_BYTES && !stored.contains('\u{fffd}');
    let rest = usize::try_from(from).ok().and_then(|from| stored.get(from..));
    match rest {
        Some(text) if from == 0 || is_whole => Part {
            offset: from,
            text: text.to_owned(),
            next_offset: from + text.len() as u64,
            is_incomplete: false,
        },
        _ => Part { is_incomplete: true, ..Part::empty(from) },
    }
}

/// Returns the next part of the output of a record that has ended, and whether anything follows.
/// While `may_grow`, the last chunk may still arrive.
pub fn part_of_ended(
    from: u64,
    chunks: &[Chunk],
    end_offset: Option<u64>,
    stored: &str,
    may_grow: bool,
) -> (OutputState, Part) {
    if from == 0 {
        return (OutputState::Ended, rest_of_stored(from, stored));
    }
    let next = part(from, chunks, end_offset);
    if end_offset.is_some_and(|end| next.next_offset >= end) {
        (OutputState::Ended, next)
    } else if next.next_offset > from || may_grow {
        (OutputState::Live, next)
    } else {
        (OutputState::Ended, rest_of_stored(from, stored))
    }
}
