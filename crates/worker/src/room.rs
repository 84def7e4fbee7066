//! Room of desktops for orders. A full desktop gives orders back; the schedulers keep its targets
//! in order until this worker reports that it has room again.

use std::time::{Duration, Instant};

/// Minimum time for which a desktop counts as full; it doubles while the desktop stays full.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Its limit.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Time with room after which the pause starts over.
const RECOVERED_AFTER: Duration = Duration::from_secs(10);

/// Room of one desktop.
#[derive(Debug, Default)]
pub(crate) struct Room {
    full_since: Option<Instant>,
    free_since: Option<Instant>,
    /// Number of times in a row that the desktop was full again soon.
    repeats: u32,
}

impl Room {
    /// Records that the desktop gave an order back.
    pub(crate) fn set_full(&mut self, now: Instant) {
        if self.full_since.is_some() {
            return;
        }
        let is_repeat = self.free_since.is_some_and(|at| now.duration_since(at) < RECOVERED_AFTER);
        self.repeats = if is_repeat { self.repeats.saturating_add(1) } else { 0 };
        self.full_since = Some(now);
    }

    /// Records that the desktop takes orders again.
    pub(crate) fn set_free(&mut self, now: Instant) {
        (self.full_since, self.free_since) = (None, Some(now));
    }

    /// Whether the desktop takes no orders.
    pub(crate) const fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// Whether the desktop is full and its pause is over.
    pub(crate) fn may_retry(&self, now: Instant) -> bool {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.repeats)).min(LONGEST_PAUSE);
        self.full_since.is_some_and(|since| now.duration_since(since) >= pause)
    }
}

/// Time after which a connection ends whose agent reads no waiting message. The largest order
/// arrives in time over a link of 1 Mbit/s.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// Progress of an agent that reads its messages. One that never reads would keep the memory of the
/// messages that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Number of messages that were read, and since when none was.
    last: Option<(u64, Instant)>,
}

impl Progress {
    /// Takes the number of messages that the agent has read, `None` if no message waits. Returns
    /// whether it has read none for [`STALLED_AFTER`] although one waits.
    pub(crate) fn is_stalled(&mut self, read: Option<u64>, now: Instant) -> bool {
        let since = match (read, self.last) {
            (Some(read), Some((before, since))) if read == before => since,
            _ => now,
        };
        self.last = read.map(|read| (read, since));
        now.duration_since(since) >= STALLED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn desktop_that_stays_full_is_asked_less_often() {
        let mut now = Instant::now();
        let mut room = Room::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            room.set_full(now);
            let begun = now;
            while !room.may_retry(now) {
                now += FIRST_PAUSE;
            }
            pauses.push(now.duration_since(begun).as_secs());
            room.set_free(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        now += RECOVERED_AFTER;
        room.set_full(now);
        assert!(room.is_full() && room.may_retry(now + FIRST_PAUSE));
    }

    #[test]
    fn agent_that_reads_nothing_is_stalled() {
        let (begin, mut progress) = (Instant::now(), Progress::default());
        let mut at = |seconds, read| progress.is_stalled(read, begin + Duration::from_secs(seconds));
        assert!(!at(0, None) && !at(1_000, None), "an idle agent reads nothing");
        assert!(!at(1_000, Some(3)) && !at(1_119, Some(3)) && at(1_120, Some(3)));
        assert!(!at(1_121, Some(4)) && !at(1_240, Some(4)) && !at(1_240, None) && !at(2_000, Some(4)));
    }
}
