//! Output of a script; head and tail are kept.

use std::collections::VecDeque;

use proto::limits::{OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES};

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;

/// Accepts any amount of output and keeps a bounded part.
#[derive(Debug, Default)]
pub(crate) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut: u64,
}

impl Output {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = OUTPUT_HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(OUTPUT_TAIL_BYTES);
        self.tail.drain(..over);
        self.cut += over as u64;
    }

    /// Text in UTF-8 without NUL; removed output is marked. Invalid bytes are replaced.
    pub(crate) fn into_text(self) -> String {
        let mut bytes = self.head;
        if self.cut > 0 {
            bytes.extend_from_slice(format!("\n[... {} bytes cut ...]\n", self.cut).as_bytes());
        }
        bytes.extend(self.tail);
        String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")
    }
}
