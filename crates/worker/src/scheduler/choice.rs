//! Choice of the channel for the next call.

use std::time::{Duration, Instant};

use time_sync::Backoff;

/// Time that a channel is avoided after its first failure; doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Maximum time that a channel is avoided.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// Consecutive failures of one channel.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EndpointHealth {
    failures: u32,
    /// Time of the last failure, or start of the call that probes the channel; `None` while the
    /// channel answers.
    since: Option<Instant>,
}

impl EndpointHealth {
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// Records a failed call. Concurrent calls that fail together count once.
    pub(super) fn failed(&mut self, began: Instant, now: Instant) {
        if self.since.is_none_or(|since| began >= since) {
            self.failures = self.failures.saturating_add(1);
        }
        self.since = Some(now);
    }

    fn is_avoided(&self, now: Instant) -> bool {
        let pause = Backoff::doubling(FIRST_PAUSE, LAST_PAUSE).after(self.failures.saturating_sub(1));
        self.since.is_some_and(|since| now.saturating_duration_since(since) < pause)
    }
}

/// Returns the index of the channel for a call that begins now; 0 if there is only one.
///
/// The choice is random among the channels that are not avoided, so that all schedulers share the
/// load. If all are avoided, the channel with the oldest failure is chosen, so a retry never
/// returns to the channel that failed last. Only one call probes a channel after its pause; other
/// calls avoid it until the probe is answered.
pub(super) fn choose(standings: &mut [EndpointHealth], now: Instant, random: usize) -> usize {
    let usable: Vec<usize> =
        (0..standings.len()).filter(|index| !standings[*index].is_avoided(now)).collect();
    let oldest = || (0..standings.len()).min_by_key(|index| standings[*index].since);
    let chosen =
        random.checked_rem(usable.len()).map(|place| usable[place]).or_else(oldest).unwrap_or_default();
    if let Some(standing) = standings.get_mut(chosen).filter(|standing| standing.failures > 0) {
        standing.since = Some(now);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Channels that calls at a given time choose, over all random numbers; the calls have no
    /// effect.
    fn choices(standings: &[EndpointHealth], at: Instant) -> BTreeSet<usize> {
        (0..6).map(|random| choose(&mut standings.to_vec(), at, random)).collect()
    }

    fn second(begin: Instant, second: u64) -> Instant {
        begin + Duration::from_secs(second)
    }

    #[test]
    fn healthy_channels_share_the_calls() {
        assert_eq!(choices(&[EndpointHealth::default(); 3], Instant::now()), BTreeSet::from([0, 1, 2]));
        assert_eq!(choices(&[EndpointHealth::default()], Instant::now()), BTreeSet::from([0]));
    }

    #[test]
    fn failed_channel_is_avoided_for_a_pause_that_doubles() {
        let begin = Instant::now();
        let mut standings = [EndpointHealth::default(); 2];
        for (at, pause) in [(0, 5), (100, 10), (200, 20), (300, 40), (400, 60), (500, 60)] {
            standings[0].failed(second(begin, at), second(begin, at));
            assert_eq!(choices(&standings, second(begin, at + pause - 1)), BTreeSet::from([1]), "{at}");
            assert_eq!(choices(&standings, second(begin, at + pause)), BTreeSet::from([0, 1]), "{at}");
        }
        standings[0].answered();
        assert_eq!(choices(&standings, second(begin, 500)), BTreeSet::from([0, 1]));
    }

    #[test]
    fn retry_goes_elsewhere_when_all_channels_failed() {
        let begin = Instant::now();
        let mut standings = [EndpointHealth::default(); 3];
        let mut tried = Vec::new();
        for at in 0..6 {
            let now = second(begin, at);
            let chosen = choose(&mut standings, now, 0);
            standings[chosen].failed(now, now);
            tried.push(chosen);
        }
        // At second 5 the pause of channel 0 has ended.
        assert_eq!(tried, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn one_call_alone_tries_a_channel_again() {
        let begin = Instant::now();
        let mut standings = [EndpointHealth::default(); 2];
        standings[0].failed(begin, begin);
        let now = second(begin, 5);
        assert_eq!(choose(&mut standings, now, 0), 0);
        assert_eq!(choices(&standings, now), BTreeSet::from([1]));
        standings[0].failed(now, second(begin, 7));
        assert_eq!(choices(&standings, second(begin, 16)), BTreeSet::from([1]), "the second pause is 10 s");
        assert_eq!(choices(&standings, second(begin, 17)), BTreeSet::from([0, 1]));
    }

    #[test]
    fn calls_that_break_together_count_once() {
        let begin = Instant::now();
        let mut standings = [EndpointHealth::default(); 2];
        for _ in 0..10 {
            standings[0].failed(begin, second(begin, 1));
        }
        assert_eq!(choices(&standings, second(begin, 6)), BTreeSet::from([0, 1]));
    }
}
