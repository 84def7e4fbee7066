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
}
