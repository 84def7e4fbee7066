//! The virtual clock: future events, in the order of their times and, at one time, of their
//! scheduling.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use chrono::TimeDelta;
use domain::Timestamp;

use super::event::Event;

/// The beginning of every simulation: a morning in summer, so that windows in local time open and
/// close.
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

/// Future events.
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

    /// Schedules an event, at once if its time has passed.
    pub(super) fn at(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        let at = (at.max(self.now) - beginning()).num_milliseconds();
        self.heap.push(Reverse(Entry { at, sequence: self.sequence, event }));
    }

    /// Schedules an event in `wait_ms` milliseconds.
    pub(super) fn after(&mut self, wait_ms: i64, event: Event) {
        self.at(self.now + TimeDelta::milliseconds(wait_ms), event);
    }

    /// Takes the next event, and sets the time to its time.
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
