//! Output of a script: the start and the end are kept.

use std::collections::VecDeque;

use crate::text;

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;

/// Percentage of bytes above which a part that is no text makes the output binary. Text in a legacy
/// encoding stays below it.
const MAX_BINARY_PERCENT: usize = 30;
/// Length below which output is never binary: its replaced bytes cost nothing.
const MIN_BINARY_BYTES: usize = 64;

/// Accepts any amount of output and keeps a bounded part.
#[derive(Debug)]
pub(crate) struct Output {
    head_bytes: usize,
    tail_bytes: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Output {
    /// Keeps this many bytes of the start and of the end.
    pub(crate) fn new(head_bytes: usize, tail_bytes: usize) -> Self {
        Self { head_bytes, tail_bytes, head: Vec::new(), tail: VecDeque::new(), total: 0 }
    }

    /// Appends output.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.head_bytes.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(self.tail_bytes);
        self.tail.drain(..over);
    }

    /// Number of all bytes, kept or not.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// At most `limit` bytes from an offset on, with their position. That is greater than `from`
    /// if the bytes between are not kept.
    pub(crate) fn read(&self, from: u64, limit: usize) -> (u64, Vec<u8>) {
        let tail_start = self.total - self.tail.len() as u64;
        let position = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let head = self.head.get(position(from)..).unwrap_or_default();
        let (offset, skipped) = if head.is_empty() {
            let offset = from.clamp(tail_start, self.total);
            (offset, position(offset - tail_start))
        } else if tail_start == self.head.len() as u64 {
            (from, 0)
        } else {
            // The tail does not follow the head.
            (from, self.tail.len())
        };
        let bytes = head.iter().chain(self.tail.iter().skip(skipped));
        (offset, bytes.take(limit).copied().collect())
    }

    /// Text in UTF-8 without NUL, decoded as this machine's programs write. Removed output is
    /// marked, cuts lie between characters, and invalid bytes are replaced. Binary output is
    /// reported by its size alone: as text it would be three times as long.
    ///
    /// On a machine with a code page, the encoding is UTF-8, else UTF-16LE, else the code page. It
    /// is decided once for all of the output.
    pub(crate) fn into_text(self, code_page: Option<text::CodePage>) -> String {
        let Self { mut head, tail, total, .. } = self;
        let tail = Vec::from(tail);
        let cut = total - (head.len() + tail.len()) as u64;
        let is_binary = is_binary(&head) || is_binary(&tail);
        if cut == 0 {
            head.extend(tail);
            return match text::decode(&head, code_page) {
                Some(text) => text,
                None if is_binary => binary(total),
                None => lossy(&head),
            };
        }
        let is_odd = (total - tail.len() as u64) % 2 == 1;
        if let Some((head, tail)) = text::decode_parts(&head, &tail, is_odd, code_page) {
            return format!("{head}{}{tail}", marker(cut));
        }
        if is_binary {
            return binary(total);
        }
        let (head_end, tail_start) = (split_end(&head), split_start(&tail));
        let cut = cut + (head_end + tail_start) as u64;
        let head = head.get(..head.len() - head_end).unwrap_or_default();
        let tail = tail.get(tail_start..).unwrap_or_default();
        lossy(&[head, marker(cut).as_bytes(), tail].concat())
    }
}

fn binary(total: u64) -> String {
    format!("[binary output of {total} bytes, not shown]\n")
}

fn marker(cut: u64) -> String {
    format!("\n[... {cut} bytes cut ...]\n")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

/// Number of bytes at the end that begin a character and do not complete it.
fn split_end(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(3);
    let end = bytes.get(last..).unwrap_or_default();
    match str::from_utf8(end.get(end.len() - continuation_start(end)..).unwrap_or_default()) {
        Err(error) if error.error_len().is_none() => continuation_start(end) - error.valid_up_to(),
        _ => 0,
    }
}

/// Length of the part that begins with the last byte that is no continuation of a character.
fn continuation_start(bytes: &[u8]) -> usize {
    bytes.iter().rev().position(|byte| !is_continuation(*byte)).map_or(0, |place| place + 1)
}

/// Number of bytes at the start that only continue a character.
fn split_start(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|byte| is_continuation(**byte)).count()
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// Whether too large a part is no text: NUL, other control characters, or invalid UTF-8.
fn is_binary(bytes: &[u8]) -> bool {
    let is_control =
        |byte: &&u8| **byte < 0x20 && !matches!(**byte, b'\t' | b'\n' | b'\r' | 0x07 | 0x08 | 0x0c | 0x1b);
    let controls = bytes.iter().filter(is_control).count();
    let invalid: usize = bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    bytes.len() >= MIN_BINARY_BYTES && (controls + invalid) * 100 > MAX_BINARY_PERCENT * bytes.len()
}
