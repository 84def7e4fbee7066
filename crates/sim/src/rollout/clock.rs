//! The virtual clock: what is to happen, in the order of time and, at one moment, of when it was decided.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use chrono::TimeDelta;
use domain::Timestamp;

use super::event::Event;

/// When every story begins: a morning in summer, so that windows in local time mean something.
pub(super) fn beginning() -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(1_782_900_000)
}

#[derive(Debug)]
struct Entry {
    /// Milliseconds since the beginning.
    at: i64,
    sequence: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// Events to come.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) now: Timestamp,
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { now: beginning(), heap: BinaryHeap::new(), sequence: 0 }
    }

    pub(super) fn at(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        let at = (at.max(self.now) - beginning()).num_milliseconds();
        self.heap.push(Reverse(Entry { at, sequence: self.sequence, event }));
    }

    /// So many milliseconds from now.
    pub(super) fn after(&mut self, wait_ms: i64, event: Event) {
        self.at(self.now + TimeDelta::milliseconds(wait_ms), event);
    }

    /// The next event; time jumps to it.
    pub(super) fn next(&mut self) -> Option<Event> {
        let Reverse(entry) = self.heap.pop()?;
        self.now = beginning() + TimeDelta::milliseconds(entry.at);
        Some(entry.event)
    }

    /// Milliseconds since the beginning.
    pub(super) fn elapsed_ms(&self) -> i64 {
        (self.now - beginning()).num_milliseconds()
    }
}
